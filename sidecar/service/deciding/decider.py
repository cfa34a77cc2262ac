"""From a query to the decision that will be recorded: evidence, verdict, fallback chain, guard, queue, draw."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sidecar import ENGINE_VERSION, errors
from sidecar.decision import audit, conclusion, draws, due, identifiers, suspensions
from sidecar.decision.decide import RequestFloors, decide
from sidecar.decision.provenance import Provenance
from sidecar.decision.query import Query, tied
from sidecar.decision.records import EXPIRES_AFTER_SECONDS, Decision, PlannedTask, QueueState
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy import categories, detectors, floors
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, Reason, TaskKind
from sidecar.policy.tables import ModelTable
from sidecar.service.deciding.answers import Answer, uncertain
from sidecar.service.deciding.keys import Keys
from sidecar.service.deciding.snapshot import NO_CHAIN, Snapshot
from sidecar.service.fallback import chain
from sidecar.service.fallback.steps import Question
from sidecar.service.registry import CalibratorInForce
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
        self._provenances: dict[tuple[str, str, CalibratorReference | None], Provenance] = {}

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
                f"the policy has no model {query.model!r}: correct the request, or add it to `models`"
            )
        query = tied(query, table)
        in_force = snapshot.calibrator(table, query.model_version)
        # To the millisecond: it is an input, and one that every record repeats.
        stale_seconds = None if in_force is None else round(max(0.0, now - in_force.confirmed_at), 3)
        verdict = decide(
            query,
            table,
            None if in_force is None else in_force.calibrator,
            RequestFloors(
                detectors.hits(snapshot.policy.detectors, query.context)
                + floors.missing_context(table.required_context, query.context),
                snapshot.suspensions,
            ),
            stale_seconds=stale_seconds,
        )
        steps: tuple[FallbackStep, ...] = ()
        if table.chain and verdict.action not in AUTOMATIC_ACTIONS:
            verdict, steps = self._fall_back(query, verdict, table, snapshot, now, deadline)
        verdict = self._guarded(query, verdict)
        queue, retry_after = _queue_state(verdict, health, snapshot)
        if steps:
            steps += conclusion.closing_steps(verdict.action, unavailable=queue == "UNAVAILABLE")

        if query.request_id:
            identity = identifiers.decision_id(
                self._keys.decision,
                query.tenant,
                query.model,
                query.request_id,
                principal=query.principal,
            )
            own_answer_id = self._new_id(now)
        else:
            identity, own_answer_id = self._new_id(now), ""
        rate = verdict.audit_rate
        draw = draws.audit_draw(self._keys.current_audit[1], identity) if rate > 0.0 else 1.0
        drawn = draw < rate
        expires_after = table.expires_after_seconds
        decision = Decision(
            decision_id=identity,
            own_answer_id=own_answer_id,
            query=query,
            verdict=verdict,
            steps=steps,
            queue=queue,
            decided_at=now,
            # The very object, which a record leaves out.
            expires_after=EXPIRES_AFTER_SECONDS if expires_after == EXPIRES_AFTER_SECONDS else expires_after,
            stale_seconds=stale_seconds,
            provenance=self._provenance(snapshot, in_force),
            drawn=drawn,
            audit_draw=draw if drawn and verdict.audit_budget else None,
        )
        kinds = () if queue == "UNAVAILABLE" else verdict.tasks
        if drawn:
            kinds += (TaskKind.AUDIT,)
        if kinds:
            planned = self._planned(kinds, decision, table, snapshot)
            decision = msgspec.structs.replace(decision, tasks=planned)
        answer = Answer(decision=decision)
        if decision.action is Action.UNCERTAIN:
            return uncertain(answer, table, in_force, retry_after=retry_after)
        return answer

    def _provenance(self, snapshot: Snapshot, in_force: CalibratorInForce | None) -> Provenance:
        """What this answer shares with all others since the last swap; made once."""
        reference = None if in_force is None else in_force.reference
        key = (snapshot.policy.loaded.digest, snapshot.policy.floors_digest, reference)
        provenance = self._provenances.get(key)
        if provenance is None:
            provenance = self._provenances[key] = Provenance(
                policy_digest=key[0],
                floors_digest=key[1],
                calibrator=reference,
                sidecar_id=self._sidecar_id,
                engine_version=ENGINE_VERSION,
                audit_key_id=self._keys.current_audit[0],
            )
        return provenance

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
            if not (decision.final_class or decision.query.predicted_class):
                return 1.0
            return draws.blind_draw(self._keys.current_audit[1], decision.decision_id, kind)

        review, opens_at = snapshot.policy.loaded.policy.review, None
        if decision.drawn and decision.verdict.audit_budget:
            opens_at = audit.week_end(audit.week_of(decision.decided_at)) + review.audit_grace
        return due.plan(
            kinds,
            decision.decided_at,
            review,
            audit_opens_at=opens_at,
            category=decision.query.category,
            criterion=table.criterion,
            mandatory=decision.verdict.mandatory,
            blind_draw=blind_draw,
        )

    def _fall_back(
        self,
        query: Query,
        verdict: Verdict,
        table: ModelTable,
        snapshot: Snapshot,
        now: float,
        deadline: float | None,
    ) -> tuple[Verdict, tuple[FallbackStep, ...]]:
        """What the fallback chain makes of an answer that does not act, and the steps that it took."""
        category = table.category(query.category)
        floors = suspensions.hits_by_source(
            snapshot.suspensions,
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            category=query.category,
        )
        steps = chain.run(
            verdict,
            Question(
                category=query.category,
                predicted_class=query.predicted_class,
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
        concluded = conclusion.conclude(verdict, steps, category=category, chain=table.chain, floors=floors)
        return concluded, steps

    def _guarded(self, query: Query, verdict: Verdict) -> Verdict:
        """The verdict, checked once more against the one promise that nothing may bend."""
        mandatory = verdict.mandatory or query.category in categories.ALWAYS_MANDATORY
        if not mandatory or not (verdict.may_act or verdict.action not in PERSON_ACTIONS):
            return verdict
        # Unreachable as long as deciding is right; the promise does not depend on that.
        self._metrics.mandatory_without_human.inc()
        fields = {"model": query.model, "category": query.category}
        logger.critical("mandatory_guard", extra={"fields": fields})
        return msgspec.structs.replace(
            verdict,
            action=Action.HOLD_FOR_REVIEW,
            may_act=False,
            mandatory=True,
            reasons=(*verdict.reasons, Reason.INVARIANT_GUARD),
            tasks=(TaskKind.HOLD,),
        )


def _queue_state(
    verdict: Verdict, health: QueueHealth, snapshot: Snapshot
) -> tuple[QueueState, float | None]:
    """Whether the review queue takes the answer, and after how many seconds to ask again where it does not."""
    if not (health.away or health.backlog_seconds) or not any(kind in BLOCKING for kind in verdict.tasks):
        return "", None
    if health.backlog_seconds > snapshot.policy.loaded.policy.review.max_backlog_age:
        return "UNAVAILABLE", BACKLOG_RETRY_SECONDS
    return ("DELAYED" if health.away else ""), None


def unrecorded(answer: Answer, snapshot: Snapshot) -> Answer:
    """The answer in place of one that the journal could not take."""
    decision = answer.decision
    table = snapshot.policy.tables[decision.query.model]
    replaced = msgspec.structs.replace(decision, queue="UNAVAILABLE", tasks=(), drawn=False, audit_draw=None)
    in_force = snapshot.calibrator(table, decision.query.model_version)
    return uncertain(
        msgspec.structs.replace(answer, decision=replaced), table, in_force, retry_after=JOURNAL_RETRY_SECONDS
    )


def outdated(decision: Decision, snapshot: Snapshot, *, now: float) -> bool:
    """Whether a recorded answer that may act is no longer good for a retry, which is then answered anew.

    It has expired, the policy or the floors (detectors among them) are others than it was made under, or the
    brake covers it. What does not act can be repeated for ever.
    """
    if not decision.may_act:
        return False
    policy, provenance, query = snapshot.policy, decision.provenance, decision.query
    if now >= decision.expires_at:
        return True
    if (provenance.policy_digest, provenance.floors_digest) != (policy.loaded.digest, policy.floors_digest):
        return True
    return bool(
        suspensions.hits(
            snapshot.suspensions,
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            band=decision.verdict.band,
            category=query.category,
            source=decision.verdict.source,
        )
    )
