"""The share of spans, counted the plain way."""

from collections.abc import Sequence


def share_of_spans(
    text_parts: Sequence[str], train_parts: Sequence[str], span: int
) -> float | None:
    found = []
    for part in text_parts:
        if 0 < len(part) < span:
            found.append(part in list(train_parts))
        for i in range(len(part) - span + 1):
            found.append(any(part[i : i + span] in one for one in train_parts))
    return sum(found) / len(found) if found else None
