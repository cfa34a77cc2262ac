"""The lower curve: how often the truth is at or above its bound, and how it closes up as labels come in.

At a fixed score, in every replay: what is looked at does not depend on the replay's luck, as a fixed calibrated
confidence would, which a small sample reaches by luck alone. The band's edge is looked at too: how often the
lowest score whose bound reaches 0.90 is right less often than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from tests.statistics.check import Check, Effort
from training.data.dataset import Dataset
from training.fit import completion, fitting
from training.fit.fitting import CandidateKind

SCORES = np.array([0.6, 0.8, 0.9, 0.95, 0.99])
EDGE = 0.90
LEVEL = 0.95
LEAST = {Effort.QUICK: 0.85, Effort.FULL: 0.90}
"""Of the worst of five scores; a share of 0.95 in 200 replays has a standard error of 0.015, in 60 one of 0.03."""

LEAST_ON_AVERAGE = {Effort.QUICK: 0.90, Effort.FULL: 0.93}
REPLAYS = {Effort.QUICK: 60, Effort.FULL: 200}
SEED = 20_260_402
VERBAL = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
SHARES = np.array([0.03, 0.05, 0.07, 0.15, 0.15, 0.2, 0.2, 0.1, 0.05])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Scores, and how often an answer of a score is right."""

    name: str
    draw: Callable[[np.random.Generator, int], Any]
    truth: Callable[[Any], Any]


CONTINUOUS = World(
    name="continuous, overconfident scores",
    draw=lambda rng, n: special.expit(rng.normal(2.0, 1.5, n)),
    truth=lambda scores: special.expit((special.logit(scores) - 0.3) / 2.0),
)
TIES = World(
    name="nine stated confidences",
    draw=lambda rng, n: rng.choice(VERBAL, n, p=SHARES),
    truth=lambda scores: 0.15 + 0.8 * scores**2,
)
CASES: tuple[tuple[World, CandidateKind, bool], ...] = (
    (CONTINUOUS, "platt-logit", False),
    (CONTINUOUS, "platt-logit", True),
    (CONTINUOUS, "identity", False),
    (CONTINUOUS, "beta", False),
    (CONTINUOUS, "isotonic", False),
    (TIES, "isotonic", False),
)
QUICK_CASES = (CASES[1], CASES[2], CASES[5])


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of a case: (5,) share of replays in which the truth at each score is not below its bound; the share in
    which the band from 0.90 starts too low; and (5,) the mean distance of bound and confidence."""

    covered: Any
    broken: float
    distance: Any


def measure(
    world: World, kind: CandidateKind, n: int, *, weighted: bool = False, replays: int, level: float = LEVEL
) -> Coverage:
    """Replays of a case with n labels; weighted, half of them count 20 times as much."""
    grid = VERBAL if world is TIES else special.expit(np.linspace(-4.0, 9.0, 1001))
    held, broken, distances = [], 0, []
    for replay in range(replays):
        rng = np.random.default_rng((SEED, n, replay))
        scores = world.draw(rng, n)
        data = Dataset.of(
            scores,
            (rng.random(n) < world.truth(scores)).astype(float),
            weights=np.where(rng.random(n) < 0.5, 1.0, 20.0) if weighted else None,
        )
        calibrator = fitting.calibrator(fitting.fit(kind, data), data)
        curve = completion.lower_curve(calibrator, data, level=level, seed=replay)
        confidence = calibrator.apply(SCORES)
        bound = curve.many(confidence, calibrator.epsilon)
        held.append(bound <= world.truth(SCORES))
        distances.append(confidence - bound)
        reached = curve.many(calibrator.apply(grid), calibrator.epsilon) >= EDGE
        broken += bool(reached.any() and world.truth(grid)[reached.argmax()] < EDGE)
    return Coverage(
        covered=np.mean(held, axis=0), broken=broken / replays, distance=np.mean(distances, axis=0)
    )


def run(effort: Effort) -> list[Check]:
    """Coverage in every case at 100 and 500 labels, and the closing up to 5,000."""
    checks = []
    cases, sizes = (CASES, (100, 500)) if effort is Effort.FULL else (QUICK_CASES, (250,))
    for world, kind, weighted in cases:
        for n in sizes:
            found = measure(world, kind, n, weighted=weighted, replays=REPLAYS[effort])
            holds = found.covered.min() >= LEAST[effort] and found.covered.mean() >= LEAST_ON_AVERAGE[effort]
            told = ", ".join(f"{share:.3f}" for share in found.covered)
            checks.append(
                Check(
                    claim=f"lower curve of {kind} on {n} labels, {world.name}{', weighted' if weighted else ''}: at "
                    f"level {LEVEL} covers at least {LEAST[effort]} at each of five scores, "
                    f"{LEAST_ON_AVERAGE[effort]} on average, and the band from {EDGE} starts too low in at most "
                    f"{1 - LEAST[effort]:.0%} of replays",
                    measured=f"{told}; too low in {found.broken:.1%}",
                    holds=bool(holds and found.broken <= 1.0 - LEAST[effort] + 1e-9),
                )
            )
    checks += [
        _closing(world, kind, effort) for world, kind in ((CONTINUOUS, "platt-logit"), (TIES, "isotonic"))
    ]
    return checks


def _closing(world: World, kind: CandidateKind, effort: Effort) -> Check:
    replays = max(REPLAYS[effort] // 10, 6)
    sizes = (100, 500, 5000) if effort is Effort.FULL else (100, 500, 2500)
    distances = [float(measure(world, kind, n, replays=replays).distance.mean()) for n in sizes]
    told = ", ".join(f"{distance:.4f} at {n}" for distance, n in zip(distances, sizes, strict=True))
    return Check(
        claim=f"the lower curve of {kind}, {world.name}, closes up: each mean distance from the confidence is at most "
        "0.7 of the one before",
        measured=told,
        holds=distances[1] <= 0.7 * distances[0] and distances[2] <= 0.7 * distances[1],
    )
