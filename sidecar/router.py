"""The use cases: route an answer, record a label. No protobuf, and no I/O but the journal."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from sidecar import ENGINE_VERSION, due, errors, identifiers
from sidecar.answers import Answer, tie_to_classes, uncertain
from sidecar.idempotency import IdempotencyWindow
from sidecar.keys import Keys
from sidecar.ledger.records import Decision, Label, Record
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, Reason, TaskKind
from sidecar.policy.decide import Case, decide
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable
from sidecar.query import Query
from sidecar.registry import CalibratorInForce
from sidecar.telemetry import Metrics

logger = logging.getLogger(__name__)

LABEL_WINDOW_SECONDS = 86400.0
LABEL_WINDOW_ENTRIES = 100_000
JOURNAL_RETRY_SECONDS = 5.0
BACKLOG_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is in force, as one value: a swap between two steps of a request cannot be seen."""

    loaded: LoadedPolicy
    tables: Mapping[str, ModelTable]
    calibrators: Mapping[tuple[str, str], CalibratorInForce]


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """How far the review queue is behind: whether the ledger is away, and the age of the oldest record."""

    away: bool = False
    backlog_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelReceipt:
    """What a sidecar can say about a label at once."""

    status: Literal["ACCEPTED", "DUPLICATE", "REJECTED"]
    reason: str = ""
    message: str = ""


class Recorder(Protocol):
    """The journal, as the router sees it."""

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        """Keeps the records; raises errors.JournalUnavailable if it cannot."""


class Router:
    """Decides and records. One instance serves all threads."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        journal: Recorder,
        queue_health: Callable[[], QueueHealth],
        keys: Keys,
        sidecar_id: str,
        metrics: Metrics,
        clock: Callable[[], float],
        new_id: Callable[[float], str] = identifiers.uuid7,
    ) -> None:
        self._snapshot = snapshot
        self._journal = journal
        self._queue_health = queue_health
        self._keys = keys
        self._sidecar_id = sidecar_id
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._answered: IdempotencyWindow[Answer] = IdempotencyWindow()
        self._labelled: IdempotencyWindow[LabelReceipt] = IdempotencyWindow()

    def route(self, query: Query) -> Answer:
        """The recorded answer to one query.

        Raises:
            errors.InvalidRequest, errors.UnknownModel, errors.RequestIdReused: no decision was made.
        """
        (answer,) = self.route_batch((query,))
        if isinstance(answer, errors.TruebandError):
            raise answer
        return answer

    def route_batch(
        self, queries: Sequence[Query | errors.TruebandError]
    ) -> list[Answer | errors.TruebandError]:
        """The answer, or the error, for each query, in order; recorded together before they are returned.

        An item that is already an error passes through.
        """
        snapshot = self._snapshot()
        now = self._clock()
        health = self._queue_health()
        window = snapshot.loaded.policy.idempotency
        outcomes: list[Answer | errors.TruebandError] = []
        fresh: list[int] = []
        twins: list[tuple[int, int]] = []  # (position, position of the item that it repeats)
        durable = False
        within: dict[tuple[str, ...], tuple[bytes, int]] = {}
        for position, query in enumerate(queries):
            if isinstance(query, errors.TruebandError):
                outcomes.append(query)
                continue
            try:
                if query.request_id:
                    key = (query.tenant, query.model, query.request_id)
                    known = self._answered.recall(key, query.fingerprint, now=now, age=window.age)
                    if known is not None:
                        outcomes.append(known.as_replay())
                        self._metrics.replayed.inc()
                        continue
                    if key in within:
                        fingerprint, earlier = within[key]
                        if fingerprint != query.fingerprint:
                            raise errors.RequestIdReused
                        twins.append((position, earlier))
                        outcomes.append(outcomes[earlier])
                        continue
                    within[key] = (query.fingerprint, position)
                answer = self._answer(query, snapshot, now, health)
            except errors.TruebandError as error:
                outcomes.append(error)
                continue
            durable = durable or answer.decision.action not in AUTOMATIC_ACTIONS
            fresh.append(position)
            outcomes.append(answer)
        if fresh:
            self._record(outcomes, fresh, queries, durable=durable, now=now, snapshot=snapshot)
        # After recording, which may change what the earlier item gets.
        for position, earlier in twins:
            twin = outcomes[earlier]
            outcomes[position] = twin.as_replay() if isinstance(twin, Answer) else twin
            self._metrics.replayed.inc()
        return outcomes

    def record_labels(
        self, labels: Sequence[tuple[Label, bytes] | errors.TruebandError]
    ) -> list[LabelReceipt]:
        """What became of each (label, fingerprint of its body); all that is accepted is on disk.

        Raises:
            errors.JournalUnavailable: none of them was recorded; sending all of them again is safe.
        """
        now = self._clock()
        receipts: list[LabelReceipt] = []
        accepted: dict[tuple[str, ...], tuple[bytes, Label]] = {}
        for item in labels:
            if isinstance(item, errors.TruebandError):
                receipts.append(LabelReceipt("REJECTED", item.code, str(item)))
                continue
            label, fingerprint = item
            key = (label.source, label.event_id)
            try:
                known = self._labelled.recall(key, fingerprint, now=now, age=LABEL_WINDOW_SECONDS)
                if key in accepted and accepted[key][0] != fingerprint:
                    raise errors.RequestIdReused
            except errors.RequestIdReused:
                message = "event_id was used for another label of this source; use a new one and `supersedes`"
                receipts.append(LabelReceipt("REJECTED", "EVENT_ID_REUSED", message))
                continue
            if known is not None or key in accepted:
                receipts.append(LabelReceipt("DUPLICATE"))
                continue
            accepted[key] = (fingerprint, label)
            receipts.append(LabelReceipt("ACCEPTED"))
        if accepted:
            self._journal.append([label for _, label in accepted.values()], durable=True)
            for key, (fingerprint, _) in accepted.items():
                self._labelled.remember(
                    key,
                    fingerprint,
                    LabelReceipt("DUPLICATE"),
                    now=now,
                    age=LABEL_WINDOW_SECONDS,
                    entries=LABEL_WINDOW_ENTRIES,
                )
        for receipt in receipts:
            self._metrics.labels.labels(receipt.status).inc()
        return receipts

    def _answer(self, query: Query, snapshot: Snapshot, now: float, health: QueueHealth) -> Answer:
        table = snapshot.tables.get(query.model)
        if table is None:
            raise errors.UnknownModel(
                f"the policy has no model {query.model!r}; it has: {', '.join(snapshot.tables)}"
            )
        given, final_class = tie_to_classes(query, table)
        slot = query.model_version if query.model_version in table.versions_with_own_calibrator else ""
        in_force = snapshot.calibrators.get((query.model, slot))
        stale_seconds = (
            None
            if in_force is None or in_force.confirmed_at is None
            else max(0.0, now - in_force.confirmed_at)
        )
        case = Case(
            category=categories.normalise(query.category),
            evidence=given,
            model_version=query.model_version,
            intent=query.intent,
            stale_seconds=stale_seconds,
        )
        verdict = decide(case, table, None if in_force is None else in_force.calibrator)
        action, may_act, reasons, tasks = verdict.action, verdict.may_act, verdict.reasons, verdict.tasks

        mandatory = verdict.mandatory or case.category in categories.ALWAYS_MANDATORY
        if mandatory and (may_act or action not in PERSON_ACTIONS):
            # Unreachable as long as `decide` is right; the promise does not depend on that.
            self._metrics.mandatory_without_human.inc()
            logger.critical(
                "mandatory_guard", extra={"fields": {"model": query.model, "category": case.category}}
            )
            action, may_act, tasks = Action.HOLD_FOR_REVIEW, False, (TaskKind.HOLD,)
            reasons += (Reason.INVARIANT_GUARD,)

        retry_after = None
        if TaskKind.HOLD in tasks or TaskKind.ESCALATION in tasks:
            if health.backlog_seconds > snapshot.loaded.policy.review.max_backlog_age:
                action, tasks, retry_after = Action.UNCERTAIN, (), BACKLOG_RETRY_SECONDS
                reasons += (Reason.REVIEW_UNAVAILABLE,)
            elif health.away:
                reasons += (Reason.REVIEW_DELAYED,)

        identity = (
            identifiers.decision_id(self._keys.decision, query.tenant, query.model, query.request_id)
            if query.request_id
            else self._new_id(now)
        )
        key_id, key = self._keys.current_audit
        drawn = verdict.audit_rate > 0.0 and identifiers.audit_draw(key, identity) < verdict.audit_rate
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
            action=action,
            may_act=may_act,
            enforced=verdict.enforced,
            band=verdict.band,
            raw_confidence=verdict.raw_confidence,
            calibrated_confidence=verdict.calibrated_confidence,
            reasons=reasons,
            final_class=final_class,
            mandatory=mandatory,
            floors=verdict.floors,
            decided_at=now,
            expires_at=now + table.expires_after_seconds,
            calibrator=None if in_force is None else in_force.reference,
            stale_seconds=stale_seconds,
            policy_digest=snapshot.loaded.digest,
            sidecar_id=self._sidecar_id,
            engine_version=ENGINE_VERSION,
            audit_rate=verdict.audit_rate,
            audit_key_id=key_id,
            drawn=drawn,
            tasks=due.plan(tasks, now, snapshot.loaded.policy.review) if tasks else (),
        )
        if action is Action.UNCERTAIN:
            return uncertain(decision, table, in_force, retry_after=retry_after)
        return Answer(decision=decision)

    def _record(
        self,
        outcomes: list[Answer | errors.TruebandError],
        fresh: list[int],
        queries: Sequence[Query | errors.TruebandError],
        *,
        durable: bool,
        now: float,
        snapshot: Snapshot,
    ) -> None:
        """Journals the fresh answers; what cannot be kept becomes UNCERTAIN: nothing may act unrecorded."""
        decisions = [
            answer.decision
            for answer in (outcomes[position] for position in fresh)
            if isinstance(answer, Answer)
        ]
        try:
            self._journal.append(decisions, durable=durable)
        except errors.JournalUnavailable as error:
            logger.error(
                "decision_not_recorded", extra={"fields": {"count": len(decisions), "cause": str(error)}}
            )
            self._metrics.unrecorded.inc(len(decisions))
            for position, decision in zip(fresh, decisions, strict=True):
                outcomes[position] = unrecorded(decision, snapshot)
            return
        self._metrics.decided(decisions)
        window = snapshot.loaded.policy.idempotency
        for position in fresh:
            query, answer = queries[position], outcomes[position]
            if not isinstance(query, Query) or not isinstance(answer, Answer):
                continue
            # An answer that asks for a retry is not what the retry should get.
            if query.request_id and answer.retry_after_seconds is None:
                self._answered.remember(
                    (query.tenant, query.model, query.request_id),
                    query.fingerprint,
                    answer,
                    now=now,
                    age=window.age,
                    entries=window.entries,
                )


def unrecorded(decision: Decision, snapshot: Snapshot) -> Answer:
    """The answer in place of one that the journal could not take."""
    table = snapshot.tables[decision.model]
    in_force = snapshot.calibrators.get((decision.model, decision.model_version)) or snapshot.calibrators.get(
        (decision.model, "")
    )
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
    )
    return uncertain(replaced, table, in_force, retry_after=JOURNAL_RETRY_SECONDS)


def fingerprint_of(body: bytes) -> bytes:
    """What identifies the body of a request: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(body, digest_size=16).digest()
