"""Any decision, decided again from what was stored about it: under what it was made, or under something else."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

import calibrators
from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from sidecar import errors
from sidecar.decision import conclusion, suspensions
from sidecar.decision.decide import RequestFloors, decide
from sidecar.decision.difference import Side
from sidecar.decision.provenance import Provenance
from sidecar.decision.records import Decision
from sidecar.decision.suspensions import Suspension
from sidecar.decision.tasks import BLOCKING_KINDS
from sidecar.decision.verdict import Verdict
from sidecar.policy import detectors, floors, floors_file, loading
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Reason
from sidecar.policy.detectors import CompiledDetector
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import ModelTable

REQUEST_REASONS = suspensions.REASONS | {Reason.DETECTOR, Reason.CONTEXT_MISSING}
"""The floors that bound the request, not its category: stored, since neither is in the policy table."""

UNKNOWN_MODEL = "no decision: the policy does not have the model"
ANSWERED = frozenset({"CLEARED", "NOT_CLEARED", "NO_ANSWER", "FAILED"})


def recompute(
    decision: Decision,
    policy_text: str,
    calibrator_text: str | None,
    floors_text: str | None = None,
) -> Verdict:
    """The verdict that the stored inputs lead to, bit for bit, under what is stored behind the digests.

    Args:
        decision: as it was recorded.
        policy_text: what is stored behind its `policy_digest`.
        calibrator_text: what is stored behind its calibrator's digest; None where none was in force.
        floors_text: what is stored behind its `floors_digest`; None where there were none.

    Raises:
        errors.PolicyRefused: a text is not what the provenance's digest stands for, or lacks the model.
        CalibratorRefused: the same of the calibrator's; or it is missing.
    """
    model, provenance = decision.query.model, decision.provenance
    table = _tables(provenance, policy_text, floors_text).get(model)
    if table is None:
        raise errors.PolicyRefused(f"{provenance.policy_digest} has no model {model!r}")
    return again(decision, table, _calibrator(provenance, calibrator_text), recorded_floors(decision))


def again(
    decision: Decision,
    table: ModelTable,
    calibrator: Calibrator | None,
    floors: RequestFloors,
) -> Verdict:
    """What the stored inputs and step outcomes of a decision come to.

    Args:
        decision: as it was recorded.
        table: of its model; not necessarily that under which it was made.
        calibrator: of the primary model.
        floors: that bind the request beside its category's own.
    """
    return decide(
        decision.query,
        table,
        calibrator,
        floors,
        stale_seconds=decision.stale_seconds,
        steps=decision.steps,
    )


def recorded_floors(decision: Decision, reasons: frozenset[Reason] = REQUEST_REASONS) -> RequestFloors:
    """The floors that bound the request when it was decided, beside its category's own."""
    return RequestFloors(tuple(hit for hit in decision.verdict.floors if hit.reason in reasons))


def differences(decision: Decision, verdict: Verdict) -> list[str]:
    """What was answered otherwise than recomputed, a sentence each; empty when all agrees to the last bit."""
    if decision.queue and not BLOCKING_KINDS.intersection(verdict.tasks):
        return [f"queue: answered {decision.queue!r}, and the recomputed verdict waits for no person"]
    if decision.verdict == verdict:
        return []
    return [
        f"{name}: answered {answered!r}, recomputed {recomputed!r}"
        for name in Verdict.__struct_fields__
        if (answered := getattr(decision.verdict, name)) != (recomputed := getattr(verdict, name))
    ]


def _tables(provenance: Provenance, policy_text: str, floors_text: str | None) -> Mapping[str, ModelTable]:
    policy = loading.stored(policy_text, provenance.policy_digest).policy
    if not provenance.floors_digest:
        return floors_file.merge(policy, None)
    if floors_text is None:
        raise errors.FloorsRefused(
            f"floors {provenance.floors_digest} are not in the ledger, and the decision names them"
        )
    return floors_file.merge(policy, floors_file.stored(floors_text, provenance.floors_digest).floors)


def _calibrator(provenance: Provenance, text: str | None) -> Calibrator | None:
    reference = provenance.calibrator
    if reference is None:
        return None
    if text is None:
        raise CalibratorRefused(
            f"calibrator {reference.digest} is not in the ledger, and the decision names it"
        )
    calibrator = calibrators.loads(text)
    if calibrator.digest != reference.digest:
        raise CalibratorRefused(
            f"the stored calibrator has digest {calibrator.digest}; the decision names {reference.digest}",
            code="DIGEST_MISMATCH",
        )
    return calibrator


@dataclass(frozen=True, slots=True)
class Compiled:
    """A side of a difference, compiled once for many decisions."""

    tables: Mapping[str, ModelTable]
    detectors: tuple[CompiledDetector, ...]


def compile_side(side: Side) -> Compiled:
    """The side's tables and detectors."""
    floors = None if side.floors is None else side.floors.floors
    return Compiled(side.tables(), floors_file.compiled_detectors(side.policy.policy, floors))


def outcome(decision: Decision, calibrator: Calibrator | None, side: Compiled) -> str:
    """Where the answer goes under another policy, in words: the action, and what else decides what becomes of it.

    Detectors read the recorded context again; suspensions bind as they did; a fallback step counts with what
    it answered then, and one that was not asked then is named, since nobody knows what it would have said.
    """
    table = side.tables.get(decision.query.model)
    if table is None:
        return UNKNOWN_MODEL
    suspended = recorded_floors(decision, suspensions.REASONS).hits
    detected: tuple[FloorHit, ...] = detectors.hits(side.detectors, decision.query.context)
    detected += floors.missing_context(table.required_context, decision.query.context)
    verdict = again(decision, table, calibrator, RequestFloors((*detected, *suspended)))
    text = str(verdict.action)
    if verdict.source is not AnswerSource.PRIMARY:
        text += f" by {verdict.source.lower()}"
    elif unasked := _unasked(decision, table, verdict):
        text += f", unless {' or '.join(unasked)} clears it"
    if verdict.action in AUTOMATIC_ACTIONS and not verdict.may_act:
        text += " (not enforced)"
    return text


def _unasked(decision: Decision, table: ModelTable, verdict: Verdict) -> list[str]:
    """The machine steps that the policy would ask and that were not asked when this was decided."""
    if verdict.action in AUTOMATIC_ACTIONS or conclusion.barred(verdict):
        return []
    asked = {step.step for step in decision.steps if step.outcome in ANSWERED}
    listed = conclusion.steps_of(verdict, table.chain, table.category(decision.query.category))
    return [step.step for step in listed if step.step not in asked]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How the same inputs are routed before and after.

    Attributes:
        n: inputs.
        moves: how many went from which action to which.
    """

    n: int
    moves: Mapping[tuple[Action, Action], int]

    @property
    def before(self) -> float:
        """The share of automatic actions before, in [0, 1]; 0 without inputs."""
        return sum(n for (old, _), n in self.moves.items() if old in AUTOMATIC_ACTIONS) / max(self.n, 1)

    @property
    def after(self) -> float:
        """The share after, in [0, 1]."""
        return sum(n for (_, new), n in self.moves.items() if new in AUTOMATIC_ACTIONS) / max(self.n, 1)

    @property
    def size(self) -> float:
        """By how much the share changes, in either direction, in [0, 1]."""
        return abs(self.after - self.before)


def shift(
    decisions: Iterable[Decision],
    table: ModelTable,
    *,
    before: Calibrator | None,
    after: Calibrator,
    suspended: Iterable[Suspension] = (),
) -> Shift:
    """The actions of recorded inputs under one calibrator and under another.

    Both are taken as just confirmed, so that the age of the one in force does not count as a shift. Floors
    bind both: mandatory review and suspensions as they are now, detectors as they hit then. Fallback steps
    count with what they answered then.

    Args:
        decisions: of the model.
        table: of the model, as it is now.
        before: the calibrator in force; None: nothing is, and everything holds.
        after: the newcomer.
        suspended: the suspensions in force.
    """
    brake = tuple(suspended)
    moves: Counter[tuple[Action, Action]] = Counter()
    for decision in decisions:
        fresh = msgspec.structs.replace(decision, stale_seconds=0.0)
        detected = recorded_floors(decision, frozenset({Reason.DETECTOR, Reason.CONTEXT_MISSING})).hits
        binding = RequestFloors(detected, brake)
        moves[again(fresh, table, before, binding).action, again(fresh, table, after, binding).action] += 1
    return Shift(n=moves.total(), moves=dict(moves))


def primary_band(decision: Decision, table: ModelTable, calibrator: Calibrator | None) -> str:
    """The band of the primary model's recorded answer under a calibrator; empty where it has none."""
    return decide(decision.query, table, calibrator, stale_seconds=decision.stale_seconds).band
