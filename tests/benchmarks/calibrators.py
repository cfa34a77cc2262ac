"""How fast a calibrator answers: one value at a time, and a million at once."""

import math
import timeit
from collections.abc import Callable

import numpy as np

from calibrators import (
    Beta,
    Calibrator,
    Constant,
    Evidence,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    VectorTemperature,
)
from calibrators import evidence as evidence_module

KNOTS = 1000
CLASSES = 10
ROWS = 1_000_000


def calibrators() -> dict[str, Calibrator]:
    """One calibrator of scores for each kind, the isotonic one with 1000 knots."""
    rng = np.random.default_rng(0)
    isotonic = Isotonic(
        tuple(np.sort(rng.random(KNOTS)).tolist()), tuple(np.sort(rng.random(KNOTS)).tolist())
    )
    return {
        "identity": Calibrator(Identity()),
        "temperature": Calibrator(Temperature(1.3)),
        "platt (logit)": Calibrator(Platt(1.2, -0.3)),
        "platt (raw)": Calibrator(Platt(4.0, -1.0, "raw")),
        "beta": Calibrator(Beta(1.1, 0.9, 0.2)),
        f"isotonic ({KNOTS} knots)": Calibrator(isotonic),
        "constant": Calibrator(Constant(0.9)),
    }


def nanoseconds_per_call(call: Callable[[], object], loops: int = 50_000) -> float:
    """The time of one call, less that of an empty one: the best of five rounds."""
    empty = min(timeit.repeat(lambda: None, number=loops, repeat=5))
    return max(0.0, min(timeit.repeat(call, number=loops, repeat=5)) - empty) / loops * 1e9


def milliseconds(call: Callable[[], object]) -> float:
    """The time of one call: the best of five."""
    return min(timeit.repeat(call, number=1, repeat=5)) * 1e3


def run() -> list[tuple[str, str]]:
    """Rows of (what was measured, how long it took)."""
    rng = np.random.default_rng(1)
    rows: list[tuple[str, str]] = []
    some = rng.random(64).tolist()
    for name, calibrator in calibrators().items():
        apply_one = calibrator.apply_one
        per_call = nanoseconds_per_call(lambda f=apply_one: [f(score) for score in some], 2000) / len(some)  # type: ignore[misc]
        rows.append((f"one score, {name}", f"{per_call:,.0f} ns"))
    vector = Calibrator(VectorTemperature(1.3))
    row = rng.normal(size=CLASSES).tolist()
    rows.append(
        (f"one vector of {CLASSES} logits", f"{nanoseconds_per_call(lambda: vector.apply_one(row)):,.0f} ns")
    )

    score = Evidence("score", (0.83,))
    tokens = Evidence("token_logprobs", tuple((-rng.random(32)).tolist()))
    platt = Calibrator(Platt(1.2, -0.3))
    for name, call in {
        "check one score": lambda: evidence_module.problem(score),
        "check 32 token log-probabilities": lambda: evidence_module.problem(tokens),
        "confidence from one score, platt (logit)": lambda: platt.confidence(score),
        "confidence from 32 token log-probabilities, platt (logit)": lambda: platt.confidence(tokens),
    }.items():
        rows.append((name, f"{nanoseconds_per_call(call):,.0f} ns"))

    scores = rng.random(ROWS)
    for name, calibrator in calibrators().items():
        rows.append(
            (f"{ROWS:,} scores, {name}", f"{milliseconds(lambda c=calibrator: c.apply(scores)):,.1f} ms")
        )  # type: ignore[misc]
    vectors = rng.normal(size=(ROWS // CLASSES, CLASSES))
    rows.append(
        (
            f"{len(vectors):,} vectors of {CLASSES} logits",
            f"{milliseconds(lambda: vector.apply(vectors)):,.1f} ms",
        )
    )
    verbal = np.round(scores, 2)
    knots = np.arange(1, 21) / 20
    rare = Calibrator(Isotonic(knots, np.minimum(knots, math.nextafter(1.0, 0.0))))
    rows.append(
        (
            f"{ROWS:,} scores of two digits, isotonic (20 knots)",
            f"{milliseconds(lambda: rare.apply(verbal)):,.1f} ms",
        )
    )
    return rows
