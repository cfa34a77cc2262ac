"""New edges for a model's bands: as loose as labels certify, and no looser than costs call for.

The bands that act are taken from the highest down, each with its own share of delta. A band's promise is
about the answers in it, so the tests of a lower one are about the answers below the cut-off that the upper
one got, which itself depends on labels. That costs nothing: given where the upper cut-off ended, the labels
below it are as always or worse, since better ones would have made it end lower. A wrong answer in the place
of a right one raises every p-value, so that, wherever the tests start, an upper cut-off that ends here and a
lower band that passes by luck are negatively associated (Harris 1960). All certified bands hold together with
probability at least 1 - delta.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action
from sidecar.policy.model import Band, Costs
from training import errors
from training.cut_offs import exact_tests
from training.cut_offs.exact_tests import ExactSample, SequenceResult, Shortfall
from training.measure.intervals import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """What the labels say about one band that acts.

    Attributes:
        band: its name.
        target: the share of its answers that must be correct.
        delta: its share of the probability of an error.
        cut_offs: that were tested, from the strictest down.
        tests: what came out.
        edge: the cut-off that it gets; None: none can be certified, or costs want no such band.
        wanted: whether costs want the band at all; True where there are none.
    """

    band: str
    target: Decimal
    delta: float
    cut_offs: tuple[Decimal, ...] = ()
    tests: SequenceResult | None = None
    edge: Decimal | None = None
    wanted: bool = True

    def shortfall(self) -> Shortfall | None:
        """What is missing where nothing can be certified; None: nothing, or there is no label at all."""
        if self.tests is None or self.edge is not None:
            return None
        return exact_tests.shortfall(
            self.cut_offs, self.tests, alpha=float(1 - self.target), delta=self.delta
        )

    @property
    def counts(self) -> tuple[int, int]:
        """Labels in the band, and how many of them are wrong."""
        if self.tests is None or self.edge is None:
            return 0, 0
        place = self.cut_offs.index(self.edge)
        return int(self.tests.n[place]), int(self.tests.wrong[place])


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffs:
    """Edges for the bands of a policy, from the highest down; a band that is not named vanishes."""

    edges: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """The cut-offs, with the certificate of each band that was asked for."""

    cut_offs: CutOffs
    certificates: tuple[Certificate, ...]

    @property
    def certified(self) -> bool:
        """Whether any band that acts could be certified."""
        return any(each.edge is not None for each in self.certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """The expected cost of an action: `fixed + slope * q`."""

    action: Action
    fixed: Fraction
    slope: Fraction

    def at(self, confidence: Fraction) -> Fraction:
        """The cost at a confidence."""
        return self.fixed + self.slope * confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The confidences in which an action is the cheapest."""

    action: Action
    low: Fraction
    high: Fraction


def current(bands: Sequence[Band]) -> CutOffs:
    """The edges that the policy has."""
    return CutOffs(edges=tuple((band.name, exact_tests.plain(band.from_)) for band in bands))


def cheapest(bands: Sequence[Band], costs: Costs) -> CutOffs:
    """The edges that costs alone call for, were every calibrated confidence what it says."""
    found = envelope(lines(costs, _distinct(bands)))
    names = {band.action: band.name for band in bands}
    return CutOffs(edges=tuple((names[each.action], _rounded(each.low)) for each in found))


def propose(
    bands: Sequence[Band],
    targets: Mapping[str, Decimal],
    sample: ExactSample,
    confidence: FloatArray,
    *,
    delta: float,
    costs: Costs | None = None,
    lowest: Decimal = Decimal(0),
) -> Proposal:
    """The loosest certified edges; with costs, the cheapest ones, clipped to what is certified.

    A band that acts and has no target keeps its edge, and nothing is said about it. One that has a target and
    cannot be certified vanishes, so that what was in it falls to the next band. Without costs nothing moves
    that does not act, but for what a band above takes of it; and nothing is taken of a band that rejects.

    Args:
        bands: the policy's, from the highest edge down.
        targets: by name of band.
        sample: labels that the calibrator was not fitted to.
        confidence: (m,) of decisions, labelled or not, that decide where cut-offs are tried.
        delta: the probability that a certified band breaks its promise; an equal share for each target.
        costs: None: only the targets count.
        lowest: no cut-off below it is tried.

    Raises:
        RequestRefused: a target names no band that acts, or costs cannot tell the actions apart.
    """
    _require_targets(bands, targets)
    expected = () if costs is None else lines(costs, _distinct(bands))
    edges: list[tuple[str, Decimal]] = []
    certificates = []
    upper: Decimal | None = None
    settled: set[Action] = {
        band.action for band in bands if band.action in AUTOMATIC_ACTIONS and band.name not in targets
    }
    least = max(lowest, _reject_edge(bands))
    for band in bands:
        if band.action not in AUTOMATIC_ACTIONS:
            continue
        if band.name not in targets:
            if upper is None or band.from_ < upper:
                edges.append((band.name, exact_tests.plain(band.from_)))
                upper = band.from_
            continue
        optimum: Decimal | None = None
        wanted = True
        if expected:
            open_ = [line for line in expected if line.action not in settled]
            optimum = _lower_edge(band.action, open_, upper)
            wanted = optimum is not None
        own = delta / len(targets)
        certificate = Certificate(band=band.name, target=targets[band.name], delta=own, wanted=wanted)
        if wanted:
            certificate = _certify(
                band,
                targets[band.name],
                sample,
                confidence,
                delta=own,
                upper=upper,
                lowest=least if optimum is None else max(optimum, lowest),
                optimum=optimum,
            )
        settled.add(band.action)
        certificates.append(certificate)
        if certificate.edge is not None:
            edges.append((band.name, certificate.edge))
            upper = certificate.edge
    edges += _rest(bands, [line for line in expected if line.action not in settled], upper)
    if not edges or edges[-1][1] != 0:
        raise errors.RequestRefused(
            "no band would be left for the lowest confidences: give the policy one that holds or rejects"
        )
    return Proposal(cut_offs=CutOffs(edges=tuple(edges)), certificates=tuple(certificates))


def _certify(
    band: Band,
    target: Decimal,
    sample: ExactSample,
    confidence: FloatArray,
    *,
    delta: float,
    upper: Decimal | None,
    lowest: Decimal,
    optimum: Decimal | None,
) -> Certificate:
    """Tests the cut-offs of a band from `lowest` on and below `upper`."""
    also = (band.from_, lowest if optimum is None else optimum)
    tried = exact_tests.grid(confidence, lowest=lowest, also=also)
    tried = tuple(each for each in tried if upper is None or each < upper)
    n, wrong = exact_tests.tally(sample, tried, upper)
    tests = exact_tests.sequence(n, wrong, alpha=float(1 - target), delta=delta)
    place = tests.loosest
    # Where no label lies between two cut-offs, the stricter one: nobody has seen an answer in the gap. Costs
    # that call for the looser one have a reason.
    while place and tests.passed[place - 1] and n[place - 1] == n[place] and tried[place] != optimum:
        place -= 1
    return Certificate(
        band=band.name,
        target=target,
        delta=delta,
        cut_offs=tried,
        tests=tests,
        edge=None if place is None else tried[place],
    )


def _rest(
    bands: Sequence[Band], expected: Sequence[CostLine], upper: Decimal | None
) -> list[tuple[str, Decimal]]:
    """The edges of the bands that do not act, below `upper`."""
    waiting = [band for band in bands if band.action not in AUTOMATIC_ACTIONS]
    if upper == 0 or not waiting:
        return []
    if not expected:
        return [
            (band.name, exact_tests.plain(band.from_))
            for band in waiting
            if upper is None or band.from_ < upper
        ]
    names = {band.action: band.name for band in waiting}
    found = envelope(expected, Fraction(1 if upper is None else upper))
    return [(names[each.action], _rounded(each.low)) for each in found]


def _lower_edge(action: Action, expected: Sequence[CostLine], upper: Decimal | None) -> Decimal | None:
    """From where on an action is the cheapest below `upper`; None: nowhere."""
    found = envelope(expected, Fraction(1 if upper is None else upper))
    return next((_rounded(each.low) for each in found if each.action is action), None)


def _reject_edge(bands: Sequence[Band]) -> Decimal:
    """The edge above the highest band that rejects; 0 where none does."""
    edge = Decimal(1)
    for band in bands:
        if band.action is Action.REJECT:
            return edge
        edge = band.from_
    return Decimal(0)


def _rounded(value: Fraction) -> Decimal:
    return exact_tests.plain((Decimal(value.numerator) / value.denominator).quantize(exact_tests.DIGITS))


def _distinct(bands: Sequence[Band]) -> tuple[Action, ...]:
    actions = tuple(band.action for band in bands)
    if len(set(actions)) != len(actions):
        raise errors.RequestRefused(
            "two bands of the policy do the same, and costs can only tell actions apart: leave the costs out"
        )
    return actions


def _require_targets(bands: Sequence[Band], targets: Mapping[str, Decimal]) -> None:
    if not targets:
        raise errors.RequestRefused("--target is needed, such as --target auto=0.90")
    known = {band.name: band for band in bands}
    acting = ", ".join(name for name, band in known.items() if band.action in AUTOMATIC_ACTIONS) or "none"
    for name in targets:
        if name not in known or known[name].action not in AUTOMATIC_ACTIONS:
            what = "does not act" if name in known else "is not a band of the policy"
            raise errors.RequestRefused(f"--target {name}: {what}; the bands that act are: {acting}")


def lines(costs: Costs, actions: Collection[Action]) -> tuple[CostLine, ...]:
    """The expected cost of each action, for the actions that a policy's bands have.

    With q the probability that the answer is correct: AUTO_ROUTE costs (1 - q) E; AUTO_ROUTE_FLAGGED
    (1 - q)(1 - k) E + F; HOLD_FOR_REVIEW H + r E; ESCALATE X; REJECT R + q V. Each is a line in q, so that each
    action is the cheapest on one interval or on none.

    Raises:
        RequestRefused: the costs leave open what one of the actions is worth.
    """
    if Action.ESCALATE in actions and costs.escalation is None:
        raise errors.RequestRefused("the policy escalates, so the costs need `escalation`")
    if Action.AUTO_ROUTE_FLAGGED in actions and costs.flag_catch_rate == 0.0:
        raise errors.RequestRefused(
            "the policy flags answers, so the costs need `flag` and `flag_catch_rate`, the share of errors that "
            "the next day's look undoes; while that is 0, flagging buys nothing"
        )
    if Action.REJECT in actions and costs.rejection == 0.0 and costs.value == 0.0:
        raise errors.RequestRefused(
            "the policy rejects answers, so the costs need `value`, what a right answer thrown away was worth, "
            "or `rejection`: while both are 0, rejecting everything costs nothing"
        )
    error, review, flag, value, rejection = (
        Fraction(number) for number in (costs.error, costs.review, costs.flag, costs.value, costs.rejection)
    )
    uncaught = (1 - Fraction(str(costs.flag_catch_rate))) * error
    human = review + Fraction(str(costs.review_error_rate)) * error
    every = {
        Action.AUTO_ROUTE: (error, -error),
        Action.AUTO_ROUTE_FLAGGED: (uncaught + flag, -uncaught),
        Action.HOLD_FOR_REVIEW: (human, Fraction(0)),
        Action.ESCALATE: (Fraction(costs.escalation or 0), Fraction(0)),
        Action.REJECT: (rejection, value),
    }
    return tuple(
        CostLine(action=action, fixed=fixed, slope=slope)
        for action, (fixed, slope) in every.items()
        if action in actions
    )


def envelope(given: Iterable[CostLine], upper: Fraction = Fraction(1)) -> tuple[Interval, ...]:
    """Where each action is the cheapest, from `upper` down to 0: the lower envelope of the lines.

    After Chow, On optimum recognition error and reject tradeoff, 1970. An action that never is, is not in it.

    Of two that cost the same over an interval the first in `given` has it.
    """
    all_lines = tuple(given)
    crossings = {Fraction(0), upper}
    for place, one in enumerate(all_lines):
        for other in all_lines[place + 1 :]:
            if one.slope != other.slope:
                crossing = (other.fixed - one.fixed) / (one.slope - other.slope)
                if 0 < crossing < upper:
                    crossings.add(crossing)
    intervals: list[Interval] = []
    edges = sorted(crossings, reverse=True)
    for high, low in itertools.pairwise(edges):
        # Between neighbouring crossings no two lines change places, so the middle speaks for all of it.
        cheapest = min(all_lines, key=lambda line: line.at((low + high) / 2)).action
        if intervals and intervals[-1].action is cheapest:
            high = intervals.pop().high
        intervals.append(Interval(action=cheapest, low=low, high=high))
    return tuple(intervals)
