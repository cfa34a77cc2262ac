"""Certified cut-offs against the truth, on worlds in which the accuracy above any cut-off is known exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from sidecar.policy.model import DEFAULT_BANDS
from tests.statistics.check import Check, Effort
from training.cut_offs import exact_tests, proposal
from training.cut_offs.exact_tests import ExactSample

Floats = npt.NDArray[np.float64]

DELTA = 0.10
AUTO, FLAGGED = Decimal("0.90"), Decimal("0.70")
REPLAYS = {Effort.QUICK: 150, Effort.FULL: 1000}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """A distribution of confidences with the true chance of being right at each, as points with masses."""

    name: str
    confidence: Floats
    right: Floats
    mass: Floats

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """n confidences, and whether each answer is right."""
        points = np.searchsorted(np.cumsum(self.mass), rng.random(n) * self.mass.sum(), side="right")
        points = np.minimum(points, self.mass.size - 1)
        return self.confidence[points], (rng.random(n) < self.right[points]).astype(np.float64)

    def share(self, low: Decimal, high: Decimal | None = None) -> float:
        """The share of the answers from `low` on, below `high`."""
        return float(self.mass[self._inside(low, high)].sum())

    def accuracy(self, low: Decimal, high: Decimal | None = None) -> float:
        """How many of those are right, truly."""
        inside = self._inside(low, high)
        return float(np.average(self.right[inside], weights=self.mass[inside]))

    def oracle(self, target: Decimal) -> float:
        """The largest share of answers above a cut-off that keeps the promise."""
        order = np.argsort(-self.confidence, kind="stable")
        shares = np.cumsum(self.mass[order])
        kept = np.cumsum((self.mass * self.right)[order]) / shares >= float(target)
        # Equal confidences stay together.
        kept &= np.append(np.diff(self.confidence[order]) != 0, True)
        return float(shares[kept].max(initial=0.0))

    def _inside(self, low: Decimal, high: Decimal | None) -> npt.NDArray[np.bool_]:
        below = True if high is None else self.confidence < float(high)
        return (self.confidence >= float(low)) & below


def _continuous(name: str, right: Callable[[Floats, Floats], Floats]) -> World:
    logits = np.linspace(-6.0, 10.0, 4001)
    confidence = 1.0 / (1.0 + np.exp(-logits))
    mass = np.exp(-0.5 * ((logits - 2.0) / 1.5) ** 2)
    return World(name=name, confidence=confidence, right=right(logits, confidence), mass=mass / mass.sum())


def worlds() -> tuple[World, ...]:
    """The kinds of score.

    Well-behaved ones, that are a little too sure; eight values that a language model states, far too sure;
    scores of which the very highest are worse than those below them; and scores that say nothing, with an
    accuracy a hair below the promise, so that every certificate is a false one.
    """
    return (
        _continuous("continuous", lambda z, _: 1.0 / (1.0 + np.exp(0.1 - 0.8 * z))),
        World(
            name="many ties",
            confidence=np.array([0.99, 0.95, 0.93, 0.81, 0.72, 0.62, 0.5, 0.4]),
            right=np.array([0.97, 0.95, 0.93, 0.80, 0.70, 0.60, 0.50, 0.40]),
            mass=np.array([0.12, 0.30, 0.22, 0.14, 0.09, 0.06, 0.04, 0.03]),
        ),
        _continuous(
            "overconfident on top",
            lambda z, q: np.where(q > 0.985, 0.86, np.minimum(1.0 / (1.0 + np.exp(-0.2 - 1.2 * z)), 0.985)),
        ),
        World(
            name="just below everywhere",
            confidence=np.linspace(0.5, 0.999, 400),
            right=np.full(400, 0.8999),
            mass=np.full(400, 1 / 400),
        ),
    )


def run(effort: Effort) -> list[Check]:
    """All claims."""
    replays = REPLAYS[effort]
    checks = []
    for world in worlds():
        for n in (300, 1000):
            checks += _certified(world, n, replays)
        if world.oracle(AUTO):
            checks.append(_jointly(world, 1000, replays))
    checks.append(_thinned(replays))
    return checks


def _certified(world: World, n: int, replays: int) -> list[Check]:
    """One target: how often it is broken, and how much is automated; the plug-in rule beside it."""
    rng = np.random.default_rng([71, n, sum(world.name.encode())])
    broken = plug_in_broken = 0
    automated = 0.0
    for seed in range(replays):
        confidence, correct = world.draw(rng, n)
        sample = ExactSample.of(confidence, correct, seed=seed)
        found = proposal.propose(ACTING, {"auto": AUTO}, sample, confidence, delta=DELTA)
        edge = found.certificates[0].edge
        if edge is not None:
            broken += world.accuracy(edge) < float(AUTO)
            automated += world.share(edge) / replays
        naive = _plug_in(sample, confidence)
        plug_in_broken += naive is not None and world.accuracy(naive) < float(AUTO)
    oracle = world.oracle(AUTO)
    checks = [
        Check(
            claim=f"{world.name}, {n} labels: a certified cut-off breaks its promise in at most {DELTA:.0%} of replays",
            measured=f"{broken / replays:.1%} (plug-in {plug_in_broken / replays:.1%}); automated {automated:.1%}, "
            f"oracle {oracle:.1%}",
            holds=broken <= DELTA * replays and automated > 0.0 and plug_in_broken > 2 * DELTA * replays,
        )
    ]
    if world.name == "many ties" and n == 1000:
        checks.append(
            Check(
                claim="many ties, 1000 labels: automation within 5 points of the oracle's",
                measured=f"{automated:.1%} against {oracle:.1%}",
                holds=abs(oracle - automated) <= 0.05,
            )
        )
    return checks


def _jointly(world: World, n: int, replays: int) -> Check:
    """Two targets, the lower band tested below the edge that the upper one got."""
    rng = np.random.default_rng([72, n, sum(world.name.encode())])
    broken = certified = 0
    for seed in range(replays):
        confidence, correct = world.draw(rng, n)
        found = proposal.propose(
            ACTING,
            {"auto": AUTO, "flagged": FLAGGED},
            ExactSample.of(confidence, correct, seed=seed),
            confidence,
            delta=DELTA,
        )
        upper, bad = None, False
        for each in found.certificates:
            if each.edge is not None:
                bad |= world.accuracy(each.edge, upper) < float(each.target)
                upper = each.edge
        broken += bad
        certified += found.certificates[1].edge is not None
    return Check(
        claim=f"{world.name}, {n} labels: either of two bands breaks its promise in at most {DELTA:.0%} of replays",
        measured=f"{broken / replays:.1%}; the lower one certified in {certified / replays:.0%}",
        holds=broken <= DELTA * replays and certified > 0,
    )


def _thinned(replays: int) -> Check:
    """Holds by a detector are all labelled and mostly right; what acts is audited at 5 % and worse."""
    rng = np.random.default_rng(73)
    broken = {"thinned": 0, "as they come": 0}
    for seed in range(replays):
        held = rng.random(8000) < 0.2
        right = rng.random(8000) < np.where(held, 0.99, 0.86)  # together 0.886, below the promise
        rate = np.where(held, 1.0, 0.05)
        drawn = rng.random(8000) < rate
        confidence = rng.choice([0.95, 0.9], 8000)[drawn]
        for name, propensity in (("thinned", rate[drawn]), ("as they come", None)):
            sample = ExactSample.of(confidence, right[drawn], propensity=propensity, seed=seed)
            found = proposal.propose(ACTING, {"auto": AUTO}, sample, confidence, delta=DELTA)
            broken[name] += found.certified
    return Check(
        claim=f"mixed propensities: nothing that breaks its promise is certified in more than {DELTA:.0%} of replays",
        measured=", ".join(f"{name} {count / replays:.1%}" for name, count in broken.items()),
        holds=broken["thinned"] <= DELTA * replays < broken["as they come"],
    )


def _plug_in(sample: ExactSample, confidence: Floats) -> Decimal | None:
    """The loosest cut-off whose labels keep the promise, as if they were the truth."""
    tried = exact_tests.grid(confidence)
    n, wrong = exact_tests.tally(sample, tried)
    kept = np.flatnonzero(wrong <= n * float(1 - AUTO))
    return tried[int(kept[-1])] if kept.size else None


# Nothing is rejected, so that cut-offs are tried all the way down.
ACTING = (*DEFAULT_BANDS[:2], DEFAULT_BANDS[2].model_copy(update={"from_": Decimal(0)}))
