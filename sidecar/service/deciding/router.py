"""The use cases: route an answer, record a label. No protobuf, and no I/O but the journal."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import msgspec

from sidecar import errors
from sidecar.decision.provenance import Provenance
from sidecar.decision.query import Query
from sidecar.decision.records import Decision, Label, artifact_of
from sidecar.policy.actions import AUTOMATIC_ACTIONS
from sidecar.service.deciding import answers, footprint
from sidecar.service.deciding.answers import Answer
from sidecar.service.deciding.decider import Decider, QueueHealth, outdated, unrecorded
from sidecar.service.deciding.idempotency import Claims, IdempotencyWindow
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.recorder import Recorder
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)

LABEL_WINDOW_SECONDS = 86400.0
LABEL_WINDOW_ENTRIES = 100_000
PATIENCE_SECONDS = 10.0
"""How long a caller without a deadline is taken to wait; fallback steps share it."""


@dataclass(frozen=True, slots=True)
class LabelReceipt:
    """What a sidecar can say about a label at once."""

    status: Literal["ACCEPTED", "DUPLICATE", "REJECTED"]
    reason: str = ""
    message: str = ""


Observe = Callable[[Sequence[Decision], Snapshot], None]
"""Told of decisions once they are recorded; it must neither wait nor raise."""


def nobody(decisions: Sequence[Decision], snapshot: Snapshot) -> None:
    """Observes nothing."""


class Router:
    """Decides and records. One instance serves all threads."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        decider: Decider,
        journal: Recorder,
        queue_health: Callable[[], QueueHealth],
        metrics: Metrics,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        observe: Observe = nobody,
    ) -> None:
        self._observe = observe
        self._snapshot = snapshot
        self._decider = decider
        self._journal = journal
        self._queue_health = queue_health
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._answered: IdempotencyWindow[Answer] = IdempotencyWindow()
        self._claims = Claims()
        self._provenances: Set[Provenance] = frozenset()
        """Those that the journal has from this process."""
        self._labelled: IdempotencyWindow[LabelReceipt] = IdempotencyWindow()

    def route(self, query: Query, *, remaining_seconds: float | None = None) -> Answer:
        """The recorded answer to one query; see `route_batch`.

        Raises:
            errors.InvalidRequest, errors.UnknownModel, errors.RequestIdReused: no decision was made.
        """
        (answer,) = self.route_batch((query,), remaining_seconds=remaining_seconds)
        if isinstance(answer, errors.TruebandError):
            raise answer
        return answer

    def route_batch(
        self,
        queries: Sequence[Query | errors.TruebandError],
        *,
        remaining_seconds: float | None = None,
    ) -> list[Answer | errors.TruebandError]:
        """The answer, or the error, for each query, in order; recorded together before they are returned.

        An item that is already an error passes through.

        Args:
            queries: well formed, or the error that each one is.
            remaining_seconds: until the caller's deadline; None where it has none.
        """
        patience = PATIENCE_SECONDS if remaining_seconds is None else remaining_seconds
        deadline = self._monotonic() + patience
        asked = {_key(query) for query in queries if isinstance(query, Query) and query.request_id}
        try:
            with self._claims.hold(asked, patience):
                return self._answers(queries, deadline)
        except errors.StillAnswering as error:
            return [query if isinstance(query, errors.TruebandError) else error for query in queries]

    def _answers(
        self, queries: Sequence[Query | errors.TruebandError], deadline: float
    ) -> list[Answer | errors.TruebandError]:
        """See `route_batch`; nobody else is at these request ids meanwhile."""
        snapshot = self._snapshot()
        now = self._clock()
        health = self._queue_health()
        window = snapshot.policy.loaded.policy.idempotency
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
                    key = _key(query)
                    known = self._answered.recall(key, query.fingerprint, now=now, age=window.age)
                    if known is not None and not outdated(known.decision, snapshot, now=now):
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
                answer = self._decider.answer(query, snapshot, now=now, health=health, deadline=deadline)
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

    def most_bytes(self, model: str) -> int:
        """How many bytes an answer for a model can take; see `answers.most_bytes`."""
        return answers.most_bytes(model, self._snapshot())

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
            for accepted_key, (fingerprint, _) in accepted.items():
                self._labelled.remember(
                    accepted_key,
                    fingerprint,
                    LabelReceipt("DUPLICATE"),
                    now=now,
                    age=LABEL_WINDOW_SECONDS,
                    entries=LABEL_WINDOW_ENTRIES,
                )
        for receipt in receipts:
            self._metrics.labels.labels(receipt.status).inc()
        return receipts

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
        taken = [
            answer for answer in (outcomes[position] for position in fresh) if isinstance(answer, Answer)
        ]
        decisions = [answer.decision for answer in taken]
        fresh_provenances = {decision.provenance for decision in decisions} - self._provenances
        try:
            # Before the decisions that refer to them: whoever reads a decision has its provenance already.
            self._journal.append([*map(artifact_of, fresh_provenances), *decisions], durable=durable)
        except errors.JournalUnavailable as error:
            logger.error(
                "decision_not_recorded", extra={"fields": {"count": len(decisions), "cause": str(error)}}
            )
            self._metrics.unrecorded.inc(len(decisions))
            for position, lost in zip(fresh, taken, strict=True):
                outcomes[position] = unrecorded(lost, snapshot)
            return
        if fresh_provenances:
            self._provenances |= fresh_provenances
        self._metrics.decided(decisions)
        try:
            self._observe(decisions, snapshot)
        except Exception:
            # What is learnt from an answer must not take it back.
            logger.exception("observation_failed")
        window = snapshot.policy.loaded.policy.idempotency
        for position in fresh:
            query, answer = queries[position], outcomes[position]
            if not isinstance(query, Query) or not isinstance(answer, Answer):
                continue
            # An answer that asks for a retry is not what the retry should get.
            if query.request_id and answer.retry_after_seconds is None:
                kept = footprint.answered(answer.decision)
                if kept is not answer.decision:
                    answer = msgspec.structs.replace(answer, decision=kept)
                self._answered.remember(
                    _key(query),
                    query.fingerprint,
                    answer,
                    now=now,
                    age=window.age,
                    entries=window.entries,
                    weight=footprint.weight(kept),
                )


def _key(query: Query) -> tuple[str, ...]:
    """What a request is known by; see `identifiers.decision_id`."""
    return (query.principal, query.tenant, query.model, query.request_id)


def fingerprint_of(body: bytes) -> bytes:
    """What identifies the body of a request: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(body, digest_size=16).digest()
