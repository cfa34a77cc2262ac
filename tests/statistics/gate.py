"""The gate of a retrain: how often it lets noise through, and how often it sees a real improvement."""

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from tests.statistics.check import Check, Effort
from training.retraining import gate

LEVEL = 0.05
"""Of challengers that are no better, so many may get through."""

NOISE = 0.7
"""Standard deviation, in logits, of the error of both calibrators where neither is better."""

COPIES = 25

Floats = npt.NDArray[np.float64]


def run(effort: Effort) -> list[Check]:
    """Every claim about the gate; quickly: with fewer replays, and the room that these need."""
    replays = 2000 if effort is Effort.FULL else 60
    return [
        _power(300, 0.6, replays),
        _power(1000, 0.95, replays),
        _noise(replays, weighted=False),
        _noise(replays, weighted=True),
        *_clusters(replays),
    ]


def world(
    n: int, *, seed: int, error: float = 0.0, copies: int = 1, weighted: bool = False
) -> tuple[Floats, Floats, Floats, Floats, npt.NDArray[np.int64]]:
    """True chance, a champion `error` logits too sure, labels, weights and groups, each row in `copies`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(2.0, 1.5, n)
    correct = (rng.random(n) < special.expit(logits)).astype(float)
    weights = np.where(rng.random(n) < 0.5, 1.0, 20.0) if weighted else np.ones(n)
    parts = (special.expit(logits), special.expit(logits + error), correct, weights)
    truth, champion, outcome, mass = (np.repeat(part, copies) for part in parts)
    return truth, champion, outcome, mass, np.repeat(np.arange(n), copies)


def _power(n: int, least: float, replays: int) -> Check:
    """The champion is one logit too sure, the challenger right."""
    accepted = 0
    for seed in range(replays):
        truth, champion, correct, weights, _ = world(n, seed=seed, error=1.0)
        accepted += gate.judge(champion, truth, correct, weights).accept
    share = accepted / replays
    return Check(
        claim=f"the right one of two calibrators a logit apart is accepted on {n} labels in at least {least:.0%}",
        measured=f"{share:.1%} of {replays}",
        holds=share >= least,
    )


def _noise(replays: int, *, weighted: bool) -> Check:
    """Two calibrators that are equally wrong."""
    accepted = 0
    for seed in range(replays):
        truth, _, correct, weights, _ = world(300, seed=seed, weighted=weighted)
        champion, challenger = _equally_wrong(truth, 10_000 + seed)
        accepted += gate.judge(champion, challenger, correct, weights).accept
    words = "weighted 1 and 20 " if weighted else ""
    return _at_the_level(f"of equals, on 300 {words}labels", accepted, replays)


def _clusters(replays: int) -> list[Check]:
    """Each label in 25 copies: blind to it, noise passes far too often; clustered, it does not."""
    blind, aware = 0, 0
    for seed in range(replays):
        truth, _, correct, weights, groups = world(60, seed=seed, copies=COPIES)
        champion, challenger = _equally_wrong(truth, 20_000 + seed, copies=COPIES)
        blind += gate.judge(champion, challenger, correct, weights).accept
        aware += gate.judge(champion, challenger, correct, weights, groups).accept
    return [
        _at_the_level(
            f"of equals, on 60 labels in {COPIES} copies that are known for groups", aware, replays
        ),
        Check(
            claim="of equals, on copies that are taken for labels of their own, at least 25% get through",
            measured=f"{blind / replays:.1%} of {replays}",
            holds=blind / replays >= 0.25,
        ),
    ]


def _equally_wrong(truth: Floats, seed: int, *, copies: int = 1) -> tuple[Floats, Floats]:
    noise = np.repeat(np.random.default_rng(seed).normal(0.0, NOISE, truth.size // copies), copies)
    logit = special.logit(truth)
    return special.expit(logit + noise), special.expit(logit - noise)


def _at_the_level(which: str, accepted: int, replays: int) -> Check:
    share, most = accepted / replays, LEVEL + 3.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / replays)
    return Check(
        claim=f"{which}, at most {LEVEL:.0%} get through, but for three standard errors of the replays",
        measured=f"{share:.1%} of {replays}, {most:.1%} allowed",
        holds=share <= most,
    )
