"""The errors that people can mend: shown as one line, without a traceback."""


class VariorumError(Exception):
    """Something a user can put right. The message says what was found, where, and what to do."""


class Stopped(VariorumError):  # noqa: N818 - no mistake was made
    """Work that ended early, as it was asked to, and can be gone on with."""
