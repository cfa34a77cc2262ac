"""What weights are for: a parametric fit to labels that routing chose says of the automatic band what is true.

Stated confidences with many ties, much too high, are routed: what is below 0.90 is held and always labelled,
what is above acts and is labelled 5 % of the time. Unweighted, the hard answers that were held are most of the
labels, and a line through them is far off where hardly anybody looked. Weighted by the inverse inclusion
probability it is not; isotonic regression does not care, as its blocks lie within the bands. Platt on the
logit is not claimed for: a stated 1.0 is a logit of 13.8 and bends the line, which is why there are others.
"""

from dataclasses import dataclass

import numpy as np

from tests.statistics.check import Check, Effort
from training.data.dataset import Dataset
from training.fit import fitting
from training.fit.fitting import CandidateKind

VALUES = np.array([0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.95, 0.97, 0.99, 1.0])
SHARES = np.array([0.5, 0.5, 1, 1, 1, 1, 2, 2, 3, 3, 26, 10, 30, 8, 6, 5]) / 100.0
ACCURACY = np.concatenate((np.linspace(0.05, 0.20, 10), np.linspace(0.58, 0.70, 6)))
"""P(correct) at each value: rising, and far below what is stated."""

AUTOMATIC_FROM = 0.90
AUDIT_RATE = 0.05
DECISIONS = 20_000
REPLAYS = {Effort.QUICK: 30, Effort.FULL: 400}
SEED = 7
CLAIMED: tuple[CandidateKind, ...] = ("platt-raw", "beta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Predicted minus true accuracy of the automatic band, in points, mean of its size over the replays."""

    weighted: float
    unweighted: float


def run(effort: Effort) -> list[Check]:
    """The gaps of the parametric kinds, with the others' beside them."""
    replays = REPLAYS[effort]
    checks = []
    for kind in CLAIMED:
        gap = measure(kind, replays)
        told = f"weighted {gap.weighted:.1f} points, unweighted {gap.unweighted:.1f}"
        checks += [
            Check(claim=f"{kind}: gap below 3.5 points weighted", measured=told, holds=gap.weighted < 3.5),
            Check(claim=f"{kind}: above 10 unweighted", measured=told, holds=gap.unweighted > 10.0),
        ]
    logit, isotonic = measure("platt-logit", replays), measure("isotonic", replays)
    told = f"with and without {isotonic.weighted:.2f} and {isotonic.unweighted:.2f} points"
    checks.append(
        Check(
            claim="isotonic: the weights change the gap by less than 0.1 point",
            measured=f"{told} (platt-logit: {logit.weighted:.1f} and {logit.unweighted:.1f})",
            holds=abs(isotonic.weighted - isotonic.unweighted) < 0.1,
        )
    )
    return checks


def measure(kind: CandidateKind, replays: int) -> Gap:
    """The gaps of a kind over seeded replays."""
    rng = np.random.default_rng(SEED)
    sizes = np.array([_sizes(kind, rng) for _ in range(replays)])
    weighted, unweighted = sizes.mean(axis=0)
    return Gap(weighted=float(weighted), unweighted=float(unweighted))


def _sizes(kind: CandidateKind, rng: np.random.Generator) -> tuple[float, float]:
    value = rng.choice(VALUES.size, DECISIONS, p=SHARES)
    automatic = VALUES[value] >= AUTOMATIC_FROM
    labelled = ~automatic | (rng.random(DECISIONS) < AUDIT_RATE)
    correct = rng.random(DECISIONS) < ACCURACY[value]
    true = float(ACCURACY[value[automatic]].mean())
    scores = VALUES[value]
    weights = np.where(automatic, 1.0 / AUDIT_RATE, 1.0)[labelled]
    acting = Dataset.of(scores[automatic], correct[automatic])
    found = []
    for used in (weights, None):
        fitted = fitting.fit(kind, Dataset.of(scores[labelled], correct[labelled], weights=used))
        found.append(100.0 * abs(float(fitting.confidence(fitted, acting).mean()) - true))
    return found[0], found[1]
