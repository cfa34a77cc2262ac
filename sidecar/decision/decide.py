"""The pure decision: a query, a policy table, a calibrator and the floors that bind in; a verdict out.

No clock, no I/O, no draw. The one function that decides: an answer as it is given, its shadow, what a change of the
policy or of the calibrator would have changed, and, years later, the same answer again.
"""

import msgspec

from calibrators import applies_to, evidence
from calibrators.calibrator import Calibrator
from calibrators.errors import EvidenceUnusable
from sidecar.decision import suspensions
from sidecar.decision.conclusion import conclude
from sidecar.decision.query import Query
from sidecar.decision.steps import FallbackStep
from sidecar.decision.suspensions import Suspension
from sidecar.decision.verdict import BLOCKING_TASKS, BY_BAND, Verdict
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Intent, Reason, TaskKind
from sidecar.policy.floors import FloorHit, narrow
from sidecar.policy.model import DEFAULT_AUDIT_RATE
from sidecar.policy.tables import Cell, ModelTable

MANDATORY_REASONS = frozenset({Reason.MANDATORY_REVIEW, Reason.DETECTOR, Reason.CONTEXT_MISSING})
"""The floors after which only a person may let an answer act: the category's, and what was found in the text, or could
not be looked for."""


class RequestFloors(msgspec.Struct, frozen=True):
    """What binds a request beside its category's own floor.

    Attributes:
        hits: those that are known: what detectors hit, or what was recorded.
        suspensions: the brake; which of them cover the answer is known once it has a band.
    """

    hits: tuple[FloorHit, ...] = ()
    suspensions: tuple[Suspension, ...] = ()


NO_FLOORS = RequestFloors()


class Assessment(msgspec.Struct, frozen=True):
    """What the evidence is worth: confidences in [0, 1], and what stands in the way of using them.

    `lower_bound` is that of the calibrated one, where the calibrator carries a lower curve.
    """

    raw: float | None
    calibrated: float | None = None
    problem: Reason | None = None
    lower_bound: float | None = None


def decide(
    query: Query,
    table: ModelTable,
    calibrator: Calibrator | None,
    floors: RequestFloors = NO_FLOORS,
    *,
    stale_seconds: float | None = None,
    steps: tuple[FallbackStep, ...] = (),
) -> Verdict:
    """The verdict on one answer: `settle` on what `assess` makes of the evidence, then what the steps change.

    Args:
        query: tied to the policy's classes (see `query.tied`).
        table: of its model.
        calibrator: of the primary model; None: nothing is in force.
        floors: that bind the request beside its category's own.
        stale_seconds: how long ago the calibrator was last confirmed; None where that is not known.
        steps: the fallback steps that were taken, if any were.
    """
    assessment = assess(query, table, calibrator, stale_seconds)
    hits = floors.hits
    if floors.suspensions:
        hits += suspensions.hits(
            floors.suspensions,
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            band=band_of(assessment, query.category, table),
            category=query.category,
            source=AnswerSource.PRIMARY,
        )
    verdict = settle(assessment, query.category, query.intent, table, hits)
    if not steps:
        return verdict
    return conclude(verdict, steps, category=table.category(query.category), chain=table.chain)


def assess(
    query: Query, table: ModelTable, calibrator: Calibrator | None, stale_seconds: float | None
) -> Assessment:
    """Raw and calibrated confidence of the given answer, or the reason why there is none to route on."""
    answer = query.evidence
    if answer.kind != table.evidence:
        return Assessment(None, None, Reason.EVIDENCE_MISMATCH)
    raw = evidence.raw_confidence(answer, table.aggregation)
    if answer.truncated:
        return Assessment(raw, None, Reason.TRUNCATED_GENERATION)
    if not version_permitted(query.model_version, table.version_rule):
        return Assessment(raw, None, Reason.MODEL_VERSION_UNCALIBRATED)
    if calibrator is None:
        return Assessment(raw, None, Reason.NO_CALIBRATOR)
    mismatch = applies_to.matches(
        calibrator.applies_to,
        model=table.name,
        model_version=query.model_version,
        source="primary",
        evidence_kind=answer.kind,
        aggregation=table.aggregation,
        criterion=table.criterion,
        answer_is_top=evidence.answer_is_top(answer),
    )
    if mismatch is not None:
        return Assessment(raw, None, Reason(mismatch))
    try:
        calibrated = calibrator.confidence(answer, query.category)
    except EvidenceUnusable:
        return Assessment(raw, None, Reason.EVIDENCE_MISMATCH)
    lower_bound = calibrator.bound_of(calibrated)
    problem = None
    if table.on_lower_bound and lower_bound is None:
        problem = Reason.NO_LOWER_BOUND
    elif stale_seconds is None or stale_seconds > table.stale_after_seconds:
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
        reasons = BY_BAND
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
