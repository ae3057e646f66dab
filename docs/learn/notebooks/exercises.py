"""Says whether the answer to an exercise is right."""

import math


def check(answer: object, wanted: object, hint: str) -> None:
    """Compare an answer with what is wanted: fractions to 1 %, all else exactly.

    `...` is no answer yet, and is told apart. Raises AssertionError, with the hint, if it is wrong.
    """
    if answer is ...:
        print("Open. Put your answer in the place of the dots.")
        return
    if isinstance(wanted, float) and isinstance(answer, (int, float)):
        right = math.isclose(answer, wanted, rel_tol=0.01)
    else:
        right = type(answer) is type(wanted) and answer == wanted
    if not right:
        raise AssertionError(f"Not yet. {hint}")
    print("Right.")
