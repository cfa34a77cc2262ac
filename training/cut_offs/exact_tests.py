"""Which cut-offs may be trusted: exact binomial tests in a sequence that was fixed before any label was seen.

After Angelopoulos, Bates, Candes, Jordan and Lei, Learn then test, 2021 (arXiv 2110.01052). The calibrator is
fixed. For a cut-off t, H_t says: of the answers from t on, more than `alpha` are wrong. Of n_t independent
labels from t on e_t are wrong, and p_t = P(Bin(n_t, alpha) <= e_t). The cut-offs are tested from the strict
to the loose one, each at the level that the one before it hands on; a test that fails ends the sequence.

Where the strictest answers are few, or worse than those below them, one sequence ends before it began. So
there are several starts with a share of delta each, and a start that is reached with its own sequence alive
adds its share to what was handed on: the fallback procedure (Wiens 2003; Bretz, Maurer, Brannath and Posch
2009). The first true H after a true H that was kept can be rejected only at a level that the shares between
the two sum to, so that the probability of rejecting any true H is at most delta.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from training import errors
from training.measure.intervals import FloatArray, IntArray

STEPS = 50
"""At most so many cut-offs, each with an equal share of the confidences between it and the next."""

DIGITS = Decimal("0.0001")
HIGHEST = Decimal("0.9999")

STARTS = (2.0, 6.0, 18.0)
"""Where the sequences start: at so many times the labels without which no test can pass."""

POWER = 0.8
MOST_LABELS = 1_000_000

MANY_LABELS = 4000
"""From here on the normal approximation of the binomial is as good."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactSample:
    """n labels that stand for themselves: independent, and each included with the same probability.

    An exact test counts rows. Where the draw took some decisions with another probability than others, counting
    them as they come answers another question; keeping each with probability pi_min / pi brings the equal
    probability back (`tally`). It is enough that the rows of one test are equal among themselves, so that a test
    of the strictest answers does not pay for a band below that is audited more rarely.

    Build one with `ExactSample.of`.

    Attributes:
        confidence: (n,) what the bands are cut on.
        wrong: (n,) 1 where the answer was wrong, else 0.
        propensity: (n,) with which probability each was labelled, up to one factor for all.
        draw: (n,) uniform on [0, 1), fixed before any test: which rows a thinning keeps.
        dropped: rows that shared a group with one that was kept.
    """

    confidence: FloatArray
    wrong: IntArray
    propensity: FloatArray
    draw: FloatArray
    dropped: int = 0

    @classmethod
    def of(
        cls,
        confidence: npt.ArrayLike,
        correct: npt.ArrayLike,
        *,
        propensity: npt.ArrayLike | None = None,
        groups: npt.NDArray[Any] | None = None,
        seed: int = 0,
    ) -> "ExactSample":
        """The labels, with at most one row of each group.

        Rows of one group depend on each other, and no exact test allows for that. So all rows are thinned to
        one propensity, and then one row of each group is drawn: what is certified counts each group once.

        Args:
            confidence: (n,) in [0, 1].
            correct: (n,) 1 where the answer was right, else 0.
            propensity: (n,) above 0; None: all the same.
            groups: (n,) keys; None: every row is its own.
            seed: of the draws.

        Raises:
            NotEnoughLabels: there is no row.
        """
        rng = np.random.default_rng(seed)
        values = np.asarray(confidence, dtype=np.float64)
        if values.size == 0:
            raise errors.NotEnoughLabels("there is no label that can certify a cut-off")
        sample = cls(
            confidence=values,
            wrong=(np.asarray(correct) != 1).astype(np.int64),
            propensity=np.ones(values.size) if propensity is None else np.asarray(propensity, np.float64),
            draw=rng.random(values.size),
        )
        if groups is None or np.unique(groups).size == values.size:
            return sample
        kept = np.flatnonzero(_kept(sample))
        order = kept[rng.permutation(kept.size)]
        first = np.sort(order[np.unique(np.asarray(groups)[order], return_index=True)[1]])
        return replace(
            _take(sample, first), propensity=np.ones(first.size), dropped=int(kept.size - first.size)
        )

    def __len__(self) -> int:
        return int(self.confidence.size)


def tally(
    sample: ExactSample, cut_offs: Sequence[Decimal], below: Decimal | None = None
) -> tuple[IntArray, IntArray]:
    """For each cut-off, how many labels of equal propensity lie from it on, and how many of those are wrong.

    Args:
        sample: the labels.
        cut_offs: (k,) in any order.
        below: only confidences below it count; None: all up to 1.

    Returns:
        Two (k,) arrays.
    """
    if below is not None:
        sample = _take(sample, np.flatnonzero(sample.confidence < float(below)))
    if not len(sample) or sample.propensity.min() == sample.propensity.max():
        return _counted(sample, cut_offs)
    n, wrong = np.zeros(len(cut_offs), np.int64), np.zeros(len(cut_offs), np.int64)
    for place, cut_off in enumerate(cut_offs):
        # The very comparison that the sidecar makes: the double nearest to the decimal, closed below.
        inside = sample.confidence >= float(cut_off)
        if inside.any():
            inside &= sample.draw * sample.propensity < sample.propensity[inside].min()
            n[place], wrong[place] = inside.sum(), sample.wrong[inside].sum()
    return n, wrong


def _counted(sample: ExactSample, cut_offs: Sequence[Decimal]) -> tuple[IntArray, IntArray]:
    """`tally` where nothing is to be thinned, all cut-offs at once."""
    order = np.argsort(sample.confidence)
    errors_below = np.concatenate(([0], np.cumsum(sample.wrong[order])))
    edges = np.array([float(cut_off) for cut_off in cut_offs])
    below = np.searchsorted(sample.confidence[order], edges, side="left")
    return len(sample) - below, errors_below[-1] - errors_below[below]


def _kept(sample: ExactSample) -> npt.NDArray[np.bool_]:
    return np.asarray(sample.draw * sample.propensity < sample.propensity.min())


def _take(sample: ExactSample, index: npt.NDArray[np.int64]) -> ExactSample:
    return replace(
        sample,
        confidence=sample.confidence[index],
        wrong=sample.wrong[index],
        propensity=sample.propensity[index],
        draw=sample.draw[index],
    )


def grid(
    confidence: FloatArray, *, lowest: Decimal = Decimal(0), also: Iterable[Decimal] = ()
) -> tuple[Decimal, ...]:
    """The cut-offs to try, from the strictest to the loosest, with at most four digits.

    Where few confidences are distinct, each has a cut-off of its own at or just below it; else the cut-offs
    are quantiles. Nothing below the lowest confidence is tried: nobody has seen an answer there.

    Args:
        confidence: (n,) of decisions, labelled or not, whose outcomes play no part.
        lowest: none below it.
        also: that are tried too, such as those of the policy.
    """
    seen = np.unique(confidence)
    if seen.size > STEPS:
        levels = np.linspace(0.0, 1.0, STEPS, endpoint=False)
        seen = np.unique(np.quantile(confidence, levels, method="lower"))
    found = {floor(float(value)) for value in seen} | set(also)
    least = max(lowest, floor(float(confidence.min())))
    return tuple(sorted((value for value in found if least <= value <= HIGHEST), reverse=True))


def floor(value: float) -> Decimal:
    """The largest number of four digits that, as a double, is not above a value in [0, 1]."""
    rounded = min(Decimal(repr(value)).quantize(DIGITS, rounding=ROUND_FLOOR), HIGHEST)
    return plain(rounded if float(rounded) <= value else rounded - DIGITS)


def plain(value: Decimal) -> Decimal:
    """The number with at least two digits behind the point and no needless zero after them."""
    return Decimal(f"{value.normalize():f}").quantize(
        Decimal("0.01") if value == value.quantize(Decimal("0.01")) else value.normalize()
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceResult:
    """What the tests came to, from the strictest cut-off to the loosest.

    Attributes:
        n: (k,) labels from each cut-off on.
        wrong: (k,) how many of them are wrong.
        p_values: (k,) of H_t.
        levels: (k,) at which each was tested; 0 where it was not.
        passed: (k,) whether H_t was rejected: at least 1 - alpha of the answers from t on are correct.
    """

    n: IntArray
    wrong: IntArray
    p_values: FloatArray
    levels: FloatArray
    passed: npt.NDArray[np.bool_]

    @property
    def loosest(self) -> int | None:
        """The last cut-off that passed; None: none did."""
        found = np.flatnonzero(self.passed)
        return int(found[-1]) if found.size else None


def sequence(
    n: IntArray, wrong: IntArray, *, alpha: float, delta: float, starts: tuple[float, ...] = STARTS
) -> SequenceResult:
    """Tests the cut-offs in their order.

    Args:
        n: (k,) labels from each cut-off on, the strictest first.
        wrong: (k,) how many of them are wrong.
        alpha: the error rate that is promised, in (0, 1).
        delta: the probability that any cut-off passes though it breaks the promise, in (0, 1).
        starts: see `shares`.
    """
    values = p_values(wrong, n, alpha)
    own = shares(n, alpha=alpha, delta=delta, starts=starts)
    levels = np.zeros(n.size)
    passed = np.zeros(n.size, dtype=np.bool_)
    level = 0.0
    for place in range(n.size):
        level += own[place]
        levels[place] = level
        passed[place] = level > 0.0 and values[place] <= level
        level = level if passed[place] else 0.0
    return SequenceResult(n=n, wrong=wrong, p_values=values, levels=levels, passed=passed)


def p_values(wrong: IntArray, n: IntArray, alpha: float) -> FloatArray:
    """(k,) P(Bin(n, alpha) <= wrong), exactly; 1 where there is no label."""
    return np.where(n > 0, special.bdtr(wrong.astype(np.float64), n, alpha), 1.0)


def least_labels(alpha: float, level: float) -> int:
    """Below so many labels not even a row without an error rejects at the level: ln(level) / ln(1 - alpha)."""
    return math.ceil(math.log(level) / math.log1p(-alpha) - 1e-9)


def shares(n: IntArray, *, alpha: float, delta: float, starts: tuple[float, ...] = STARTS) -> FloatArray:
    """(k,) the share of delta that each cut-off brings with it, by the numbers of labels alone.

    Args:
        n: (k,) labels from each cut-off on.
        alpha: the error rate that is promised.
        delta: to be shared out.
        starts: a start is the first cut-off with so many times the labels without which no test can pass.
            Those that the labels do not reach have no share; where none is reached, there is one start, at
            the first cut-off that can pass.
    """
    brought = np.zeros(n.size)
    least = least_labels(alpha, delta)
    reached = [start for start in starts if n.size and n.max() >= start * least] or [1.0]
    share = delta / len(reached)
    for start in reached:
        enough = np.flatnonzero(n >= max(start * least, least_labels(alpha, share)))
        if enough.size:
            brought[enough[0]] += share
    return brought


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """What is missing until a cut-off can be expected to pass.

    Attributes:
        cut_off: the one that needs the fewest further labels, at the accuracy seen so far.
        n: labels from it on.
        wrong: how many of them are wrong.
        accuracy: of those, with half a right and half a wrong one added, so that few labels promise little.
        further: so many more are needed from it on; None: at this accuracy no number is enough.
        beyond: a looser cut-off whose own labels would do, and which the tests do not reach since they end here;
            None: there is none.
    """

    cut_off: Decimal
    n: int
    wrong: int
    accuracy: float
    further: int | None
    beyond: Decimal | None = None


def shortfall(
    cut_offs: tuple[Decimal, ...], tested: SequenceResult, *, alpha: float, delta: float
) -> Shortfall | None:
    """What is missing where nothing passed; None where there is no label at all.

    The cut-off that needs the fewest further labels is meant, at the accuracy seen so far: an estimate, and a
    hopeful one, since the luckiest cut-off is picked. Where the labels of a cut-off would do by themselves, what is
    in the way is the stricter one at which the sequence ended: that one is meant then.
    """
    ready = np.flatnonzero(~tested.passed & (tested.p_values <= delta))
    if ready.size:
        ended = np.flatnonzero(~tested.passed & (tested.levels > 0.0))
        before = ended[ended <= ready[0]]
        if before.size:
            place = int(before[-1])
            level = float(tested.levels[place])
            found = _missing_at(cut_offs[place], tested, place, alpha=alpha, delta=level)
            return found if place == ready[0] else replace(found, beyond=cut_offs[int(ready[0])])
    candidates = [
        _missing_at(cut_off, tested, place, alpha=alpha, delta=delta)
        for place, cut_off in enumerate(cut_offs)
        if tested.n[place]
    ]
    reachable = [each for each in candidates if each.further is not None]
    if reachable:
        return min(reachable, key=lambda each: each.further or 0)
    # The most accurate cut-off of those with labels enough to say anything, else the one with the most.
    solid = [each for each in candidates if each.n >= 30] or candidates[-1:]
    return max(solid, key=lambda each: each.accuracy, default=None)


def _missing_at(
    cut_off: Decimal, tested: SequenceResult, place: int, *, alpha: float, delta: float
) -> Shortfall:
    n, wrong = int(tested.n[place]), int(tested.wrong[place])
    accuracy = (n - wrong + 0.5) / (n + 1)
    needed = labels_needed(1.0 - accuracy, alpha=alpha, delta=delta)
    further = None if needed is None else max(needed - n, 1)
    return Shortfall(cut_off=cut_off, n=n, wrong=wrong, accuracy=accuracy, further=further)


def labels_needed(error_rate: float, *, alpha: float, delta: float, power: float = POWER) -> int | None:
    """The labels with which the exact test passes with that probability; None beyond a million, or never.

    Args:
        error_rate: that the answers really have.
        alpha: the error rate that is promised.
        delta: the level of the test.
        power: the probability of passing.
    """
    if error_rate >= alpha:
        return None
    spread = stats.norm.isf(delta) * math.sqrt(alpha * (1.0 - alpha))
    spread += stats.norm.ppf(power) * math.sqrt(error_rate * (1.0 - error_rate))
    about = (float(spread) / (alpha - error_rate)) ** 2
    if about > MOST_LABELS:
        return None
    if about > MANY_LABELS:
        return round(about)
    n = np.arange(1, 2 * MANY_LABELS)
    # The most errors with which n labels still pass: the quantile, or one less.
    most = np.asarray(stats.binom.ppf(delta, n, alpha))
    most = most - (np.asarray(stats.binom.cdf(most, n, alpha)) > delta)
    enough = np.flatnonzero(np.asarray(stats.binom.cdf(most, n, error_rate)) >= power)
    return int(n[enough[0]]) if enough.size else round(about)
