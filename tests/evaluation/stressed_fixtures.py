"""A sound model and its cases, for tests of the stress catalogue."""

import pytest
from stressed import Letters, cases, sound_model


@pytest.fixture(scope="module")
def sound():
    """A model that passes every case on the implementation."""
    return sound_model(Letters)


@pytest.fixture(scope="module")
def sound_cases(sound):
    """Its cases by their names."""
    return cases(sound)
