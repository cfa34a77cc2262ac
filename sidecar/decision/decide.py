"""The pure decision: a case, a policy table and a calibrator in; a verdict out. No clock, no I/O, no draw.

The same function answers a request and, years later, recomputes it.
"""

import msgspec

from calibrators import applies_to, evidence
from calibrators.calibrator import Calibrator
from calibrators.errors import EvidenceUnusable
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, Intent, Reason, TaskKind
from sidecar.policy.floors import FloorHit, narrow
from sidecar.policy.model import DEFAULT_AUDIT_RATE
from sidecar.policy.tables import Cell, ModelTable

MANDATORY_REASONS = frozenset({Reason.MANDATORY_REVIEW, Reason.DETECTOR})
"""The floors after which only a person may let an answer act: the category's, and what was found in the text."""

BLOCKING_TASKS = {Action.HOLD_FOR_REVIEW: TaskKind.HOLD, Action.ESCALATE: TaskKind.ESCALATION}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision depends on, beside the policy and the calibrator.

    `stale_seconds` is how long ago the calibrator was last confirmed; None where that is not known. `floors`
    are those that bind this request beside its category's own: detectors and suspensions.
    """

    category: str  # normalised
    evidence: evidence.Evidence
    model_version: str = ""
    intent: Intent = Intent.LIVE
    stale_seconds: float | None = None
    floors: tuple[FloorHit, ...] = ()


class Assessment(msgspec.Struct, frozen=True):
    """What the evidence is worth: confidences in [0, 1], and what stands in the way of using them.

    `lower_bound` is that of the calibrated one, where the calibrator carries a lower curve.
    """

    raw: float | None
    calibrated: float | None = None
    problem: Reason | None = None
    lower_bound: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen to the answer, and why.

    `audit_rate` is the planned propensity of the audit draw, `audit_budget` the most that are sampled of what it
    draws in a week (0: all); `tasks` are the review tasks that are opened without a draw.
    """

    action: Action
    may_act: bool
    enforced: bool
    band: str
    raw_confidence: float | None
    calibrated_confidence: float | None
    lower_bound: float | None = None
    reasons: tuple[Reason, ...]
    floors: tuple[FloorHit, ...]
    mandatory: bool
    audit_rate: float
    audit_budget: int = 0
    tasks: tuple[TaskKind, ...]


def decide(case: Case, table: ModelTable, calibrator: Calibrator | None) -> Verdict:
    """The verdict on one answer: `settle` on what `assess` makes of the evidence."""
    return settle(assess(case, table, calibrator), case.category, case.intent, table, case.floors)


def assess(case: Case, table: ModelTable, calibrator: Calibrator | None) -> Assessment:
    """Raw and calibrated confidence of the given answer, or the reason why there is none to route on."""
    given = case.evidence
    if given.kind != table.evidence:
        return Assessment(None, None, Reason.EVIDENCE_MISMATCH)
    raw = evidence.raw_confidence(given, table.aggregation)
    if given.truncated:
        return Assessment(raw, None, Reason.TRUNCATED_GENERATION)
    if not version_permitted(case.model_version, table.version_rule):
        return Assessment(raw, None, Reason.MODEL_VERSION_UNCALIBRATED)
    if calibrator is None:
        return Assessment(raw, None, Reason.NO_CALIBRATOR)
    mismatch = applies_to.matches(
        calibrator.applies_to,
        model=table.name,
        model_version=case.model_version,
        source="primary",
        evidence_kind=given.kind,
        aggregation=table.aggregation,
        criterion=table.criterion,
        answer_is_top=evidence.answer_is_top(given),
    )
    if mismatch is not None:
        return Assessment(raw, None, Reason(mismatch))
    try:
        calibrated = calibrator.confidence(given, case.category)
    except EvidenceUnusable:
        return Assessment(raw, None, Reason.EVIDENCE_MISMATCH)
    lower_bound = calibrator.bound_of(calibrated)
    problem = None
    if table.on_lower_bound and lower_bound is None:
        problem = Reason.NO_LOWER_BOUND
    elif case.stale_seconds is None or case.stale_seconds > table.stale_after_seconds:
        problem = Reason.CALIBRATOR_STALE
    return Assessment(raw, calibrated, problem, lower_bound)


def version_permitted(model_version: str, rule: str) -> bool:
    """Whether the policy's `model_version` (any, required, or a fixed one) lets a version through."""
    if rule == "any":
        return True
    return model_version != "" if rule == "required" else model_version == rule


def band_of(assessment: Assessment, category_name: str, table: ModelTable) -> str:
    """The name of the band that an assessed answer falls into; empty where there is none."""
    category = table.category(category_name)
    number = category.cut_on(assessment.calibrated, assessment.lower_bound)
    return "" if number is None else category.cell_at(number).name


def settle(
    assessment: Assessment,
    category_name: str,
    intent: Intent,
    table: ModelTable,
    floors: tuple[FloorHit, ...] = (),
) -> Verdict:
    """The verdict on an assessed answer.

    The band of the calibrated confidence, or of its lower bound where the policy says so, proposes an action; one
    that the bound alone rejects is held, since few labels prove nothing bad either. Whatever stands in the way
    of the confidence proposes to hold instead; then the floors take actions away, and nothing can widen what they
    leave.
    """
    category = table.category(category_name)
    calibrated, lower_bound = assessment.calibrated, assessment.lower_bound
    problem = assessment.problem
    number = category.cut_on(calibrated, lower_bound)
    cell = None if number is None else category.cell_at(number)
    proposed: Action
    if problem is not None:
        proposed = table.stale_action if problem is Reason.CALIBRATOR_STALE else Action.HOLD_FOR_REVIEW
        reasons: tuple[Reason, ...] = (problem,)
    elif cell is not None:
        proposed = cell.action
        reasons = (Reason.BAND,)
        if proposed is Action.REJECT and category.reject_unproven(calibrated):
            proposed = Action.HOLD_FOR_REVIEW
            reasons = (Reason.BAND, Reason.REJECT_UNPROVEN)
    else:
        proposed = Action.HOLD_FOR_REVIEW
        reasons = (Reason.NO_CALIBRATOR,)

    own = category.floor_at(calibrated, lower_bound)
    if own is not None:
        floors = (own, *floors)
    action = proposed
    mandatory = False
    if floors:
        action = narrow(proposed, floors)
        # In the order in which they bound, each once.
        reasons += tuple(dict.fromkeys(floor.reason for floor in floors))
        mandatory = any(floor.reason in MANDATORY_REASONS for floor in floors)

    enforced = not table.observes
    live = intent is Intent.LIVE
    acting = enforced and live
    if not enforced:
        reasons += (Reason.OBSERVE_MODE,)
    if not live:
        reasons += (Reason.SHADOW,)
    audit_rate, audit_budget, tasks = _follow_up(action, acting, cell)
    return Verdict(
        action=action,
        may_act=acting and action in AUTOMATIC_ACTIONS,
        enforced=enforced,
        band="" if cell is None else cell.name,
        raw_confidence=assessment.raw,
        calibrated_confidence=calibrated,
        lower_bound=lower_bound,
        reasons=reasons,
        floors=floors,
        mandatory=mandatory,
        audit_rate=audit_rate,
        audit_budget=audit_budget,
        tasks=tasks,
    )


def _follow_up(action: Action, acting: bool, cell: Cell | None) -> tuple[float, int, tuple[TaskKind, ...]]:
    """The planned propensity, the budget, and the tasks.

    An enforced hold reaches a person anyway, so it is not drawn. Where nothing is enforced, a hold opens no
    task and is drawn like everything else, or there would be no truth about it.
    """
    blocking = BLOCKING_TASKS.get(action)
    if acting and blocking is not None:
        return 0.0, 0, (blocking,)
    if cell is None:
        return DEFAULT_AUDIT_RATE, 0, ()
    batch = acting and action is Action.AUTO_ROUTE_FLAGGED and cell.batch_review
    return cell.audit_rate, cell.audit_budget, (TaskKind.BATCH,) if batch else ()
