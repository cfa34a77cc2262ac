"""From a query to the decision that will be recorded: evidence, verdict, fallback chain, guard, queue, draw."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sidecar import ENGINE_VERSION, errors
from sidecar.decision import audit, conclusion, draws, due, identifiers, suspensions
from sidecar.decision.conclusion import Conclusion
from sidecar.decision.decide import Case, Verdict, assess, settle
from sidecar.decision.query import Query
from sidecar.decision.records import Decision, FallbackStep, PlannedTask
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Reason, TaskKind
from sidecar.policy.tables import ModelTable
from sidecar.service.deciding import request_floors
from sidecar.service.deciding.answers import Answer, tie_to_classes, uncertain
from sidecar.service.deciding.keys import Keys
from sidecar.service.deciding.snapshot import NO_CHAIN, Snapshot
from sidecar.service.fallback import chain
from sidecar.service.fallback.steps import Question
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)

JOURNAL_RETRY_SECONDS = 5.0
BACKLOG_RETRY_SECONDS = 30.0
BLOCKING = (TaskKind.HOLD, TaskKind.ESCALATION)


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """How far the review queue is behind: whether the ledger is away, and the age of the oldest record."""

    away: bool = False
    backlog_seconds: float = 0.0


class Decider:
    """Makes decisions. It does no I/O but what a fallback chain of the policy asks for."""

    def __init__(
        self,
        *,
        keys: Keys,
        sidecar_id: str,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
        new_id: Callable[[float], str] = identifiers.uuid7,
    ) -> None:
        self._keys = keys
        self._sidecar_id = sidecar_id
        self._metrics = metrics
        self._monotonic = monotonic
        self._new_id = new_id

    def answer(
        self, query: Query, snapshot: Snapshot, *, now: float, health: QueueHealth, deadline: float | None
    ) -> Answer:
        """The answer to a query, not recorded yet.

        Args:
            query: well formed.
            snapshot: what is in force.
            now: seconds since the epoch.
            health: of the way to the review queue.
            deadline: of the caller, by the monotonic clock; None where it has none.

        Raises:
            errors.InvalidRequest, errors.UnknownModel: no decision can be made.
        """
        table = snapshot.policy.tables.get(query.model)
        if table is None:
            raise errors.UnknownModel(
                f"the policy has no model {query.model!r}; it has: {', '.join(snapshot.policy.tables)}"
            )
        given, final_class = tie_to_classes(query, table)
        in_force = snapshot.calibrator(table, query.model_version)
        case = Case(
            category=categories.normalise(query.category),
            evidence=given,
            model_version=query.model_version,
            intent=query.intent,
            stale_seconds=None if in_force is None else max(0.0, now - in_force.confirmed_at),
        )
        assessment = assess(case, table, None if in_force is None else in_force.calibrator)
        floors = request_floors.binding(query, case, assessment, table, snapshot)
        verdict = settle(assessment, case.category, case.intent, table, floors)
        source, decided_class = AnswerSource.PRIMARY, final_class
        steps: tuple[FallbackStep, ...] = ()
        if table.chain and verdict.action not in AUTOMATIC_ACTIONS:
            concluded = self._fall_back(query, case, verdict, final_class, table, snapshot, now, deadline)
            verdict, source = concluded.verdict, concluded.source
            decided_class, steps = concluded.final_class, concluded.steps
        action, may_act, reasons, tasks = self._guarded(query.model, case.category, verdict)

        retry_after = None
        if health.away or health.backlog_seconds:
            blocking = any(kind in BLOCKING for kind in tasks)
            if blocking and health.backlog_seconds > snapshot.policy.loaded.policy.review.max_backlog_age:
                action, tasks, retry_after = Action.UNCERTAIN, (), BACKLOG_RETRY_SECONDS
                reasons += (Reason.REVIEW_UNAVAILABLE,)
            elif blocking and health.away:
                reasons += (Reason.REVIEW_DELAYED,)
        if steps:
            steps += conclusion.closing_steps(action, reasons)

        identity = (
            identifiers.decision_id(self._keys.decision, query.tenant, query.model, query.request_id)
            if query.request_id
            else self._new_id(now)
        )
        key_id, key = self._keys.current_audit
        rate = verdict.audit_rate
        draw = draws.audit_draw(key, identity) if rate > 0.0 else 1.0
        drawn = draw < rate
        if drawn:
            tasks += (TaskKind.AUDIT,)
        decision = Decision(
            decision_id=identity,
            answer_id=self._new_id(now),
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            request_id=query.request_id,
            subject_ref=query.subject_ref,
            group_key=query.group_key,
            category=case.category,
            category_source="MODEL" if query.category_from_model else "CALLER",
            predicted_class=query.predicted_class or final_class,
            answer_digest=query.answer_digest,
            occurred_at=now if query.occurred_at is None else query.occurred_at,
            evidence=given,
            intent=query.intent,
            attributes=query.attributes,
            context=query.context,
            principal=query.principal,
            action=action,
            may_act=may_act,
            enforced=verdict.enforced,
            band=verdict.band,
            raw_confidence=verdict.raw_confidence,
            calibrated_confidence=verdict.calibrated_confidence,
            lower_bound=verdict.lower_bound,
            reasons=reasons,
            final_class=decided_class,
            source=source,
            mandatory=verdict.mandatory or case.category in categories.ALWAYS_MANDATORY,
            floors=verdict.floors,
            steps=steps,
            decided_at=now,
            expires_at=now + table.expires_after_seconds,
            calibrator=None if in_force is None else in_force.reference,
            stale_seconds=case.stale_seconds,
            policy_digest=snapshot.policy.loaded.digest,
            floors_digest=snapshot.policy.floors_digest,
            sidecar_id=self._sidecar_id,
            engine_version=ENGINE_VERSION,
            audit_rate=rate,
            audit_key_id=key_id,
            drawn=drawn,
            audit_budget=verdict.audit_budget,
            audit_draw=draw if drawn and verdict.audit_budget else None,
            tasks=(),
        )
        if tasks:
            planned = self._planned(tasks, decision, table, snapshot)
            decision = msgspec.structs.replace(decision, tasks=planned)
        if action is Action.UNCERTAIN:
            return uncertain(decision, table, in_force, retry_after=retry_after)
        return Answer(decision=decision)

    def _planned(
        self,
        kinds: tuple[TaskKind, ...],
        decision: Decision,
        table: ModelTable,
        snapshot: Snapshot,
    ) -> tuple[PlannedTask, ...]:
        """The review tasks of these kinds on a decision."""

        def blind_draw(kind: TaskKind) -> float:
            # Without a class there is nothing to compare with what a blind reviewer says.
            if not (decision.final_class or decision.predicted_class):
                return 1.0
            return draws.blind_draw(self._keys.current_audit[1], decision.decision_id, kind)

        review, opens_at = snapshot.policy.loaded.policy.review, None
        if decision.drawn and decision.audit_budget:
            opens_at = audit.week_end(audit.week_of(decision.decided_at)) + review.audit_grace
        return due.plan(
            kinds,
            decision.decided_at,
            review,
            audit_opens_at=opens_at,
            category=decision.category,
            criterion=table.criterion,
            mandatory=decision.mandatory,
            blind_draw=blind_draw,
        )

    def _fall_back(
        self,
        query: Query,
        case: Case,
        verdict: Verdict,
        final_class: str,
        table: ModelTable,
        snapshot: Snapshot,
        now: float,
        deadline: float | None,
    ) -> Conclusion:
        """What the fallback chain makes of an answer that does not act."""
        category = table.category(case.category)
        floors = suspensions.hits_by_source(
            snapshot.suspensions,
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            category=case.category,
        )
        steps = chain.run(
            verdict,
            Question(
                category=case.category,
                predicted_class=final_class,
                raw_confidence=verdict.raw_confidence,
                calibrated_confidence=verdict.calibrated_confidence,
                attributes=query.attributes,
                context=query.context,
                calibrators=snapshot.fallback_calibrators(query.model),
                now=now,
            ),
            snapshot.chains.get(query.model, NO_CHAIN),
            category,
            remaining_seconds=None if deadline is None else deadline - self._monotonic(),
            clock=self._monotonic,
            floors=floors,
        )
        return conclusion.conclude(
            verdict, steps, final_class=final_class, category=category, chain=table.chain, floors=floors
        )

    def _guarded(
        self, model: str, category: str, verdict: Verdict
    ) -> tuple[Action, bool, tuple[Reason, ...], tuple[TaskKind, ...]]:
        """The verdict's action, checked once more against the one promise that nothing may bend."""
        mandatory = verdict.mandatory or category in categories.ALWAYS_MANDATORY
        if mandatory and (verdict.may_act or verdict.action not in PERSON_ACTIONS):
            # Unreachable as long as deciding is right; the promise does not depend on that.
            self._metrics.mandatory_without_human.inc()
            logger.critical("mandatory_guard", extra={"fields": {"model": model, "category": category}})
            return (
                Action.HOLD_FOR_REVIEW,
                False,
                (*verdict.reasons, Reason.INVARIANT_GUARD),
                (TaskKind.HOLD,),
            )
        return verdict.action, verdict.may_act, verdict.reasons, verdict.tasks


def unrecorded(decision: Decision, snapshot: Snapshot) -> Answer:
    """The answer in place of one that the journal could not take."""
    table = snapshot.policy.tables[decision.model]
    replaced = msgspec.structs.replace(
        decision,
        action=Action.UNCERTAIN,
        may_act=False,
        reasons=(
            *(reason for reason in decision.reasons if reason is not Reason.REVIEW_UNAVAILABLE),
            Reason.REVIEW_UNAVAILABLE,
        ),
        tasks=(),
        drawn=False,
        audit_draw=None,
    )
    in_force = snapshot.calibrator(table, decision.model_version)
    return uncertain(replaced, table, in_force, retry_after=JOURNAL_RETRY_SECONDS)
