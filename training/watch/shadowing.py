"""The live shadow: how the challenger in force does on the audit labels of what the champion decided beside it.

Everything is computed anew from the ledger at each look, with no state. That costs no validity: the evidence is
a product with one factor for each label, whatever their order, so that a later look goes on from an earlier one
as if it had kept its state, with the labels that became known since. This holds while labels are only added. A
correction puts another factor in the place of one: the guarantee is then about the labels as they have settled.

Only audit draws count, each by its planned propensity (`challenger.weight`), of answers whose own calibrator the
champion is and that were given while their sidecar held the challenger: nothing that the challenger was fitted
on. An audit budget thins its band below the plan; that band then counts for less in "on the whole", and the
evidence holds against "in no band better" all the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from calibrators import Calibrator
from sidecar.decision import decide
from sidecar.decision.records import Decision, InForce
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import model as policy_model
from sidecar.policy import tables
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from sidecar.policy.tables import ModelTable
from training.watch import challenger, reference, streams
from training.watch.challenger import ChallengerEvidence
from training.watch.streams import EntryOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
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
) -> tuple[Shadowed, ...]:
    """The challengers in force, each with the audit labels on it; none of those without any.

    Args:
        ledger: a snapshot.
        model: a key of the policy's models.
        loaded: the policy in force.
        labelled: of the model, in any order.
        entry_of: the policy that a decision was made under, by which its audits were planned.
        at: as of when, in seconds since the epoch.
    """
    history = [each for each in ledger.facts().in_force(model, None, None) if each.since <= at]
    table = tables.compile_policy(loaded.policy)[model]
    drawn = sorted(
        (each for each in labelled if not streams.unusable(each) and each.about == "PRIMARY"),
        key=lambda each: (each.label.recorded_at, each.decision.decision_id),
    )
    found = []
    for version in ("", *loaded.policy.models[model].versions):
        suffix = ":".join(part for part in (model, version) if part)
        champion, held = (_newest(history, f"{role}:{suffix}") for role in ("calibrator", "challenger"))
        if champion is None or held is None or champion.digest == held.digest:
            continue
        calibrator = reference.calibrator_of(ledger, held.digest)
        own = [each for each in drawn if _version(each.decision, table) == version]
        beside = _beside(own, history, champion, held)
        if calibrator is None or not beside:
            continue
        told = _compared(beside, table, calibrator, entry_of, version, champion, held)
        if told is not None:
            found.append(told)
    return tuple(found)


def _newest(history: Sequence[InForce], slot: str) -> InForce | None:
    """What whichever sidecar noticed last has in a slot; None where that is nothing."""
    entries = [each for each in history if each.slot == slot]
    return entries[-1] if entries and entries[-1].digest else None


def _version(decision: Decision, table: ModelTable) -> str:
    return decision.model_version if decision.model_version in table.versions_with_own_calibrator else ""


def _beside(
    drawn: Iterable[Labelled], history: Sequence[InForce], champion: InForce, held: InForce
) -> list[Labelled]:
    """The labels of what the champion decided while the same sidecar held the challenger."""
    spans: dict[str, list[InForce]] = {}
    for each in history:
        if each.slot == held.slot:
            spans.setdefault(each.sidecar_id, []).append(each)

    def is_beside(decision: Decision) -> bool:
        if decision.calibrator is None or decision.calibrator.digest != champion.digest:
            return False
        then = [each for each in spans.get(decision.sidecar_id, ()) if each.since <= decision.decided_at]
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
) -> Shadowed | None:
    evidence, left_out = ChallengerEvidence(), 0
    weights = brier_champion = brier_challenger = 0.0
    floors = _floors(entry_of)
    for each in beside:
        floor, before = floors(each.decision.policy_digest), each.decision.calibrated_confidence
        after = _confidence(each.decision, table, calibrator)
        if floor is None or before is None or after is None:
            left_out += 1
            continue
        weight = challenger.weight(each.decision.audit_rate, floor)
        evidence = evidence.updated(weight * challenger.difference(before, after, correct=each.correct))
        weights += weight
        brier_champion += weight * (before - each.correct) ** 2
        brier_challenger += weight * (after - each.correct) ** 2
    if not evidence.labels:
        return None
    return Shadowed(
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
    case = decide.Case(
        category=decision.category,
        evidence=decision.evidence,
        model_version=decision.model_version,
        intent=decision.intent,
        stale_seconds=0.0,
    )
    return decide.assess(case, table, calibrator).calibrated


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
        for category in (None, *entry.categories.values())
        for band in policy_model.bands_of(entry, category)
    ]
    return [rate for rate in rates if rate > 0.0]
