"""The band report's estimates: their bias and the coverage of their intervals, where routing biases the labels.

The situation of a language model that states its confidence: six values, overconfident, nearly all of it in the
automatic band; what acts is audited with 5 %, what is held is labelled with certainty.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.statistics.check import Check, Effort
from training.measure import post_stratified
from training.measure.post_stratified import Estimate, Sample

SEED = 20260402
REPLAYS = 1000
TRAFFIC = (4000, 20_000)
AUTO_FROM = 0.9
AUDIT_RATE = 0.05
WILSON_COVERAGE = (0.93, 0.97)
KORN_GRAUBARD_COVERAGE = 0.95
BIAS = 0.005

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is routed.

    Attributes:
        scores: the stated confidences.
        shares: of each in the traffic.
        accuracies: the true share of right answers at each.
        refunds: the share of traffic in a category of its own audit rate.
        refunds_rate: that rate.
        refunds_penalty: how much less accurate its answers are.
    """

    scores: tuple[float, ...] = (1.0, 0.95, 0.9, 0.8, 0.6, 0.3)
    shares: tuple[float, ...] = (0.45, 0.27, 0.15, 0.08, 0.03, 0.02)
    accuracies: tuple[float, ...] = (0.90, 0.80, 0.70, 0.40, 0.25, 0.10)
    audit_rate: float = AUDIT_RATE
    refunds: float = 0.0
    refunds_rate: float = AUDIT_RATE
    refunds_penalty: float = 0.0


OVERCONFIDENT = World()
SHARP = World(accuracies=(0.98, 0.965, 0.95, 0.60, 0.40, 0.10))
TWO_RATES = World(
    accuracies=(0.98, 0.965, 0.95, 0.60, 0.40, 0.10), refunds=0.3, refunds_rate=0.20, refunds_penalty=0.08
)
RARE = World(audit_rate=0.01, refunds=0.1, refunds_rate=1.0, refunds_penalty=0.2)
"""The heaviest stratum has the fewest labels, which the cheap one outnumbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """One period: what was routed, which of it got a label, and what was true."""

    sample: Sample
    automatic: Bools
    automatic_sizes: Floats
    truth: float
    automatic_truth: float

    @property
    def naive(self) -> float:
        """The plain mean of the labels, which most people report."""
        return float(self.sample.correct.mean())


def run(effort: Effort) -> list[Check]:
    """Every claim about the estimates."""
    traffic = TRAFFIC if effort is Effort.FULL else TRAFFIC[:1]
    return [check for n in traffic for check in _claims(n)]


def _claims(n: int) -> Iterator[Check]:
    for name, world in (("overconfident", OVERCONFIDENT), ("sharp", SHARP)):
        found = replay(world, n)
        bands = [_of_band(each) for each in found]
        yield _bias(f"the automatic band, {name} scores, {n:,} decisions", found, bands, of_band=True)
        yield _coverage(
            f"Wilson intervals of it cover the truth in {WILSON_COVERAGE[0]:.0%} to {WILSON_COVERAGE[1]:.0%}",
            [each.automatic_truth for each in found],
            bands,
            method="Wilson",
            bounds=WILSON_COVERAGE,
        )
        whole = [post_stratified.estimate(each.sample) for each in found]
        yield _bias(f"all decisions, {name} scores, {n:,} decisions", found, whole, of_band=False)
        yield _coverage(
            f"Korn-Graubard intervals of it cover the truth in at least {KORN_GRAUBARD_COVERAGE:.0%}",
            [each.truth for each in found],
            whole,
            method="Korn-Graubard",
            bounds=(KORN_GRAUBARD_COVERAGE, 1.0),
        )
    for name, world in (
        ("a category audited four times as often and less accurate", TWO_RATES),
        ("1 % audits beside a category labelled in full", RARE),
    ):
        found = replay(world, n)
        bands = [_of_band(each) for each in found]
        yield _bias(f"the automatic band, {name}, {n:,} decisions", found, bands, of_band=True)
        yield _coverage(
            f"Korn-Graubard intervals of it cover the truth in at least {KORN_GRAUBARD_COVERAGE:.0%}",
            [each.automatic_truth for each in found],
            bands,
            method="Korn-Graubard",
            bounds=(KORN_GRAUBARD_COVERAGE, 1.0),
        )


def replay(world: World, n: int) -> list[Replay]:
    """Periods of n decisions each, routed, drawn and labelled as the sidecar does."""
    rng = np.random.default_rng([SEED, n, *[ord(letter) for letter in repr(world)]])
    scores = np.array(world.scores)
    found = []
    for _ in range(REPLAYS):
        which = rng.choice(scores.size, size=n, p=world.shares)
        refunds = rng.random(n) < world.refunds
        chance = np.array(world.accuracies)[which] - world.refunds_penalty * refunds
        correct = (rng.random(n) < chance).astype(np.float64)
        automatic = scores[which] >= AUTO_FROM
        # Strata: held; automatic at the common rate; automatic at the category's own.
        stratum = np.where(automatic, 1 + refunds, 0)
        rate = np.array([1.0, world.audit_rate, world.refunds_rate])[stratum]
        labelled = rng.random(n) < rate
        sizes = np.bincount(stratum, minlength=3).astype(np.float64)
        found.append(
            Replay(
                sample=Sample(
                    stratum=stratum[labelled],
                    correct=correct[labelled],
                    propensity=rate[labelled],
                    sizes=sizes,
                ),
                automatic=automatic[labelled],
                automatic_sizes=np.array([0.0, sizes[1], sizes[2]]),
                truth=float(correct.mean()),
                automatic_truth=float(correct[automatic].mean()),
            )
        )
    return found


def _of_band(each: Replay) -> Estimate:
    return post_stratified.estimate(each.sample, each.automatic, each.automatic_sizes)


def _bias(about: str, found: list[Replay], estimates: list[Estimate], *, of_band: bool) -> Check:
    truths = np.array([each.automatic_truth if of_band else each.truth for each in found])
    values = np.array([np.nan if each.value is None else each.value for each in estimates])
    naive = np.array([each.naive for each in found])
    bias = float((values - truths).mean())
    return Check(
        claim=f"the accuracy reported of {about}, is off by less than {BIAS * 100:.1f} points on average",
        measured=f"{bias * 100:+.2f} points (root mean square {np.sqrt(((values - truths) ** 2).mean()) * 100:.2f}, "
        f"median of {np.median([each.labels for each in estimates]):.0f} labels); the plain mean of all labels is off "
        f"by {float((naive - truths).mean()) * 100:+.1f}",
        holds=abs(bias) < BIAS,
    )


def _coverage(
    claim: str, truths: list[float], estimates: list[Estimate], *, method: str, bounds: tuple[float, float]
) -> Check:
    inside = []
    width = []
    for truth, each in zip(truths, estimates, strict=True):
        low, high = each.shown()
        inside.append(low <= truth <= high)
        width.append(high - low)
    coverage = float(np.mean(inside))
    used = {each.method_shown for each in estimates}
    return Check(
        claim=claim,
        measured=f"{coverage:.1%} of {len(truths)} replays, mean width {np.mean(width) * 100:.1f} points"
        + ("" if used == {method} else f"; intervals used: {', '.join(sorted(used))}"),
        holds=used == {method} and bounds[0] <= coverage <= bounds[1],
    )
