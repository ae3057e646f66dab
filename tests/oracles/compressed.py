"""What documents add to an archive, by whole archives: `evaluation.compressors` has to agree."""

BLANK_LINE = b"\n\n"


def adaptive(length, train, documents):
    """Bits of each document behind train and those before it; `length` is of a whole archive."""
    costs = []
    for place in range(len(documents)):
        with_it = BLANK_LINE.join([*train, *documents[: place + 1]])
        without = BLANK_LINE.join([*train, *documents[:place]])
        costs.append(8 * (length(with_it) - length(without)))
    return costs


def static(length, train, documents):
    """Bits of each document behind train alone."""
    return [cost for document in documents for cost in adaptive(length, train, [document])]
