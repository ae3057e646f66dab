"""What parts add to an archive, by whole archives: `evaluation.compressors` has to agree."""

BLANK_LINE = b"\n\n"


def by_parts(length, train, documents, numbers, *, adaptive):
    """Bits of each part, given the part of each byte and document's end.

    `length` is of the archive of a text. Adaptive: behind the documents before; else behind train.
    """
    costs, at = [0] * (max(numbers, default=-1) + 1), 0
    for place, document in enumerate(documents):
        before = [*train, *(documents[:place] if adaptive else [])]
        behind = length(BLANK_LINE.join(before))
        for end in range(min(1, len(document)), len(document) + 1):
            last = max(0, end - 1)
            if end == len(document) or numbers[at + end] != numbers[at + last]:
                now = length(BLANK_LINE.join([*before, document[:end]]))
                costs[numbers[at + last]] += 8 * (now - behind)
                behind = now
        at += len(document) + 1
    return costs
