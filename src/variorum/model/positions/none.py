"""Encode no positions: the causal mask alone conveys them (Haviv et al. 2022)."""

from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Encode nothing."""
