"""Format sizes and durations for people."""

UNITS = ("B", "kB", "MB", "GB", "TB")


def size(n_bytes: int) -> str:
    """Return bytes with three digits in the decimal unit that fits: `1.25 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    rounded = float(f"{n_bytes:.2e}")  # first, since 999 999 is a megabyte to three digits
    power = min(int(f"{rounded:e}".partition("e")[2]) // 3, len(UNITS) - 1)
    return f"{rounded / 1000**power:.15g} {UNITS[power]}"


def duration(seconds: float) -> str:
    """Return a duration with two digits: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    for unit, length, most in (("min", 60, 99.5), ("h", 3600, 47.5), ("d", 86400, float("inf"))):
        if (value := seconds / length) < most:
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    raise ValueError(seconds)  # it is no number
