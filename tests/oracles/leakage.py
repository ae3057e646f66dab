"""The share of spans, counted the plain way."""

from collections.abc import Sequence


def share_of_spans(text_parts: Sequence[str], train_parts: Sequence[str], span: int) -> float:
    spans = [part[i : i + span] for part in text_parts for i in range(len(part) - span + 1)]
    if not spans:
        return 0.0
    return sum(any(one in part for part in train_parts) for one in spans) / len(spans)
