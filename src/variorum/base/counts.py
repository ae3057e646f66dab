"""Write counts in sentences."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, such as `1 result` or `1,200 results`.

    plural: the noun for any other count than 1, if it is not `noun` with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
