"""Evidence as people read it: so many to one."""

import math

BEYOND = 1e9


def to_one(log_e: float) -> str:
    """`12 : 1` for ln 12."""
    return f"{number(log_e)} : 1"


def number(log_e: float) -> str:
    """`12` for ln 12: whole from ten on, two digits below, and `over 1,000,000,000` where more is no news."""
    if log_e >= math.log(BEYOND):
        return f"over {BEYOND:,.0f}"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 9.5 else f"{value:.2g}"
