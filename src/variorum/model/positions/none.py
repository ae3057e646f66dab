"""No positions: the causal mask alone tells how much came before (Haviv et al. 2022)."""

from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Says nothing."""
