"""`DecisionService`."""

import grpc
from trueband.v1 import decision_pb2, decision_pb2_grpc

from sidecar import errors
from sidecar.ledger import queries
from sidecar.ledger.queries import StoredDecision
from sidecar.ledger.store import Ledger
from sidecar.service.api import permissions, requests, responses


class DecisionServicer(decision_pb2_grpc.DecisionServiceServicer):
    """Reads decisions back."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def GetDecision(
        self, request: decision_pb2.GetDecisionRequest, context: grpc.ServicerContext
    ) -> decision_pb2.GetDecisionResponse:
        """One decision with all its answers."""
        stored = self._ledger.read(queries.decision, request.decision_id)
        caller = permissions.principal()
        if stored is not None and not caller.has_any(permissions.READS_DECISIONS):
            stored = stored.asked_by(caller.name)
        if stored is None:
            raise errors.NotFound(f"the ledger has no decision {request.decision_id!r} (yet)")
        return decision_pb2.GetDecisionResponse(decision=_record(stored))

    def ListDecisions(
        self, request: decision_pb2.ListDecisionsRequest, context: grpc.ServicerContext
    ) -> decision_pb2.ListDecisionsResponse:
        """Decisions about one subject or in one span of time, newest first."""
        decided_from = requests.moment("decided_from", request)
        decided_to = requests.moment("decided_to", request)
        if not request.subject_ref and decided_from is None and decided_to is None:
            raise errors.InvalidRequest(
                (errors.Violation("subject_ref", "give a subject, a span of time, or both"),)
            )
        page = self._ledger.read(
            queries.decisions,
            tenant=request.tenant,
            subject_ref=request.subject_ref,
            model=request.model,
            decided_from=decided_from,
            decided_to=decided_to,
            page_size=requests.page_size(request.page_size),
            page_token=request.page_token,
        )
        records = responses.fitting(_record(stored) for stored in page.items)
        return decision_pb2.ListDecisionsResponse(
            decisions=records, next_page_token=page.token_behind(len(records))
        )


def _record(stored: StoredDecision) -> decision_pb2.DecisionRecord:
    return decision_pb2.DecisionRecord(
        decision_id=stored.decision_id,
        answers=[responses.decision(answer) for answer in stored.answers],
        acted=stored.acted,
        held=stored.held,
        evidence=responses.evidence(stored.answers[0].query.evidence),
    )
