"""A challenger beside its champion: evidence on audit labels of which of the two is better, valid at every look.

`compare` says how the challenger in force does on the audit labels of what the champion decided beside it, the live
shadow. Everything is computed anew from the ledger at each look, with no state. That costs no validity: the evidence
is a product with one factor for each label, whatever their order, so that a later look goes on from an earlier one
as if it had kept its state, with the labels that became known since. This holds while labels are only added. A
correction puts another factor in the place of one: the guarantee is then about the labels as they have settled.

Only audit draws count, each by its planned propensity (`weight`), of answers whose own calibrator the champion is
and that were given while their sidecar held the challenger: nothing that the challenger was fitted on. An audit
budget thins its band below the plan; that band then counts for less in "on the whole", and the evidence holds
against "in no band better" all the same.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from calibrators import Calibrator
from sidecar.decision.decide import decide
from sidecar.decision.records import Decision, InForce
from sidecar.ledger import facts
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import model as policy_model
from sidecar.policy import tables
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from sidecar.policy.tables import ModelTable
from training import errors
from training.watch import e_values, score_shift, streams
from training.watch.streams import EntryOf

BETS = (0.25, 0.5, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerEvidence:
    """Two e-processes on d = Brier(champion) - Brier(challenger), of the same labelled answers.

    `log_e` is evidence against "given what was known before, the mean of d is at most 0", that is, for the
    challenger: E is multiplied by 1 + b d (Choe and Ramdas, Operations Research 2024). `log_e_reverse` is the
    same on -d, for the champion. Each averages three bets, b of 0.25, 0.5 and 0.95. As d >= -1 no factor is
    negative, and its expectation is at most 1 under the null hypothesis, so each average is a nonnegative
    supermartingale from 1 and P(it ever reaches 1/alpha) <= alpha (Ville 1939), however often it is looked at.
    The bets are fixed, hence predictable, and the product does not depend on the order of the labels.

    Where the challenger means what it says, and the champion is off by p - q, the mean of d is (p - q)^2 and the
    best bet about 1/(4 q (1 - q)), which is 1 or more: no bet below 1 is much too large, and a pair that differs
    little needs many labels. Measured (tests/statistics/challenger.py) with scores from Beta(6, 2),
    a calibrated challenger and a champion that is too confident by a constant in logits: 40 : 1 is reached after
    about 340 labels in the median for 1 logit, 1,030 for a half, 3,800 for a quarter. Where neither is better it
    was reached within 3,000 labels in 2 % of 4,000 runs, where 2.5 % may. Weighted labels (`weight`) need more,
    roughly by one over the weight of those that matter.

    Attributes:
        log_bets: ln E of each bet on the challenger.
        log_reverse: ln E of each bet on the champion.
        labels: how many it has seen.

    Raises:
        RequestRefused: the state is damaged.
    """

    log_bets: tuple[float, ...] = (0.0,) * len(BETS)
    log_reverse: tuple[float, ...] = (0.0,) * len(BETS)
    labels: int = 0

    def __post_init__(self) -> None:
        sound = all(math.isfinite(number) for number in (*self.log_bets, *self.log_reverse))
        if not sound or not len(self.log_bets) == len(self.log_reverse) == len(BETS) or self.labels < 0:
            raise errors.RequestRefused(
                "the state of a comparison with a challenger is damaged: start it again"
            )

    def updated(self, difference: float) -> Self:
        """The state after one more label.

        Args:
            difference: d in [-1, 1], above 0 where the challenger was closer; or d times its `weight`.

        Raises:
            DataRefused: it is outside, or not a number.
        """
        if not -1.0 <= difference <= 1.0:
            raise errors.DataRefused(f"a difference of Brier scores is {difference}: it must lie in [-1, 1]")
        pairs = zip(self.log_bets, self.log_reverse, BETS, strict=True)
        after = [
            (ahead + math.log1p(bet * difference), behind + math.log1p(-bet * difference))
            for ahead, behind, bet in pairs
        ]
        return type(self)(
            log_bets=tuple([ahead for ahead, _ in after]),
            log_reverse=tuple([behind for _, behind in after]),
            labels=self.labels + 1,
        )

    @property
    def log_e(self) -> float:
        """The log of the evidence that the challenger is better; 0 at the start."""
        return e_values.log_mean(self.log_bets)

    @property
    def log_e_reverse(self) -> float:
        """The log of the evidence that the champion is better; 0 at the start."""
        return e_values.log_mean(self.log_reverse)


def difference(champion: float, challenger: float, *, correct: bool) -> float:
    """Brier(champion) - Brier(challenger) of one answer, in [-1, 1]; above 0 where the challenger was closer.

    Args:
        champion: its confidence, in [0, 1].
        challenger: its confidence in the same answer.
        correct: whether the answer was.

    Raises:
        DataRefused: a confidence is not as described.
    """
    if not (0.0 <= champion <= 1.0 and 0.0 <= challenger <= 1.0):
        raise errors.DataRefused("a confidence is outside [0, 1] or not a number")
    return (champion - correct) ** 2 - (challenger - correct) ** 2


def weight(planned: float, floor: float) -> float:
    """What a label that was drawn with a planned propensity counts, in (0, 1]: floor / planned, at most 1.

    The answers of a band that is audited twice as often come twice as often, so each counts half: then the
    mean of the weighted d over drawn answers has the sign of the mean of d over all that could be drawn, and
    |d| stays within 1. The floor must be known before the draw. It is that of the policy: its smallest rate
    above 0. Where all rates are equal every label counts 1.

    Args:
        planned: the rate, in (0, 1].
        floor: the smallest one that the policy plans, in (0, 1].

    Raises:
        DataRefused: one is not as described.
    """
    if not (0.0 < planned <= 1.0 and 0.0 < floor <= 1.0):
        raise errors.DataRefused(f"the propensities {planned} and {floor} must lie in (0, 1]")
    return min(1.0, floor / planned)


def log_needed(false_alarm_rate: float) -> float:
    """ln(2/rate): either side takes half, so the rate bounds the chance of being wrong about either; 40 : 1 at 0.05."""
    return math.log(2.0) - math.log(e_values.between_zero_and_one(false_alarm_rate, "the false alarm rate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A challenger in force beside its champion, and what audit labels say of the two.

    Attributes:
        model_version: the version of the model that both are for; empty: every one without a calibrator of its own.
        champion: what is in force, and decides.
        challenger: what is in force beside it.
        brier_champion: its weighted mean Brier score on the labels, in [0, 1].
        brier_challenger: likewise.
        evidence: for either; its `labels` is how many there are, at least one.
        left_out: audit labels on which the challenger has no confidence to compare.
    """

    model_version: str
    champion: InForce
    challenger: InForce
    brier_champion: float
    brier_challenger: float
    evidence: ChallengerEvidence
    left_out: int = 0

    @property
    def difference(self) -> float:
        """The mean Brier score of the champion minus the challenger's; above 0 where the challenger is better."""
        return self.brier_champion - self.brier_challenger


def compare(
    ledger: Ledger,
    model: str,
    loaded: LoadedPolicy,
    labelled: Iterable[Labelled],
    entry_of: EntryOf,
    *,
    at: float,
) -> tuple[Comparison, ...]:
    """The challengers in force, each with the audit labels on it; none of those without any.

    Args:
        ledger: a snapshot.
        model: a key of the policy's models.
        loaded: the policy in force.
        labelled: of the model, in any order.
        entry_of: the policy that a decision was made under, by which its audits were planned.
        at: as of when, in seconds since the epoch.
    """
    history = [each for each in ledger.read(facts.in_force, model, None, None) if each.since <= at]
    table = tables.compile_policy(loaded.policy)[model]
    drawn = sorted(
        (each for each in labelled if not streams.unusable(each) and each.about == "PRIMARY"),
        key=lambda each: (each.label.recorded_at, each.decision.decision_id),
    )
    comparisons = []
    for version in ("", *loaded.policy.models[model].versions):
        suffix = ":".join(part for part in (model, version) if part)
        champion, held = (_newest(history, f"{role}:{suffix}") for role in ("calibrator", "challenger"))
        if champion is None or held is None or champion.digest == held.digest:
            continue
        calibrator = score_shift.calibrator_of(ledger, held.digest)
        own = [each for each in drawn if _version(each.decision, table) == version]
        beside = _beside(own, history, champion, held)
        if calibrator is None or not beside:
            continue
        comparison = _compared(beside, table, calibrator, entry_of, version, champion, held)
        if comparison is not None:
            comparisons.append(comparison)
    return tuple(comparisons)


def _newest(history: Sequence[InForce], slot: str) -> InForce | None:
    """What whichever sidecar noticed last has in a slot; None where that is nothing."""
    entries = [each for each in history if each.slot == slot]
    return entries[-1] if entries and entries[-1].digest else None


def _version(decision: Decision, table: ModelTable) -> str:
    return (
        decision.query.model_version
        if decision.query.model_version in table.versions_with_own_calibrator
        else ""
    )


def _beside(
    drawn: Iterable[Labelled], history: Sequence[InForce], champion: InForce, held: InForce
) -> list[Labelled]:
    """The labels of what the champion decided while the same sidecar held the challenger."""
    spans: dict[str, list[InForce]] = {}
    for each in history:
        if each.slot == held.slot:
            spans.setdefault(each.sidecar_id, []).append(each)

    def is_beside(decision: Decision) -> bool:
        if decision.provenance.calibrator is None or decision.provenance.calibrator.digest != champion.digest:
            return False
        then = [
            each
            for each in spans.get(decision.provenance.sidecar_id, ())
            if each.since <= decision.decided_at
        ]
        return bool(then) and then[-1].digest == held.digest

    return [each for each in drawn if is_beside(each.decision)]


def _compared(
    beside: Iterable[Labelled],
    table: ModelTable,
    calibrator: Calibrator,
    entry_of: EntryOf,
    version: str,
    champion: InForce,
    held: InForce,
) -> Comparison | None:
    evidence, left_out = ChallengerEvidence(), 0
    weights = brier_champion = brier_challenger = 0.0
    floors = _floors(entry_of)
    for row in beside:
        floor, before = (
            floors(row.decision.provenance.policy_digest),
            row.decision.verdict.calibrated_confidence,
        )
        after = _confidence(row.decision, table, calibrator)
        if floor is None or before is None or after is None:
            left_out += 1
            continue
        counts = weight(row.decision.verdict.audit_rate, floor)
        evidence = evidence.updated(counts * difference(before, after, correct=row.correct))
        weights += counts
        brier_champion += counts * (before - row.correct) ** 2
        brier_challenger += counts * (after - row.correct) ** 2
    if not evidence.labels:
        return None
    return Comparison(
        model_version=version,
        champion=champion,
        challenger=held,
        brier_champion=brier_champion / weights,
        brier_challenger=brier_challenger / weights,
        evidence=evidence,
        left_out=left_out,
    )


def _confidence(decision: Decision, table: ModelTable, calibrator: Calibrator) -> float | None:
    """The challenger's confidence in a recorded answer, as a sidecar would have computed it; None where it has none."""
    return decide(decision.query, table, calibrator, stale_seconds=0.0).calibrated_confidence


def _floors(entry_of: EntryOf) -> Callable[[str], float | None]:
    """From a policy's digest to the smallest audit rate above 0 that it plans; None where nobody knows it."""
    known: dict[str, float | None] = {}

    def floor_of(digest: str) -> float | None:
        if digest not in known:
            entry = entry_of(digest)
            known[digest] = None if entry is None else min(_rates(entry), default=None)
        return known[digest]

    return floor_of


def _rates(entry: Model) -> list[float]:
    rates = [
        policy_model.audit_rate_of(band, category)
        for _, category in policy_model.sections(entry)
        for band in policy_model.bands_of(entry, category)
    ]
    return [rate for rate in rates if rate > 0.0]
