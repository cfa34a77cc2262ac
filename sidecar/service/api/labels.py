"""`LabelService`."""

from collections.abc import Callable, Mapping

import grpc
from trueband.v1 import label_pb2, label_pb2_grpc

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.decision.labels import RESOLUTION_VERSION, ResolvedLabel
from sidecar.decision.records import Label
from sidecar.ledger import labelled, pages, queries
from sidecar.ledger.store import Ledger
from sidecar.policy.tables import ModelTable
from sidecar.service.api import permissions, requests, responses
from sidecar.service.deciding.router import Router

RECEIPT_BYTES = 64
"""What a label's receipt takes beside its message."""


class LabelServicer(label_pb2_grpc.LabelServiceServicer):
    """Takes labels, and says what became of them."""

    def __init__(
        self,
        router: Router,
        ledger: Ledger,
        *,
        label_window_seconds: Callable[[], float],
        tables: Callable[[], Mapping[str, ModelTable]],
        sidecar_id: str,
        clock: Callable[[], float],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._has_room = has_room
        self._router = router
        self._ledger = ledger
        self._label_window_seconds = label_window_seconds
        self._tables = tables
        self._sidecar_id = sidecar_id
        self._clock = clock

    def RecordLabel(
        self, request: label_pb2.RecordLabelRequest, context: grpc.ServicerContext
    ) -> label_pb2.RecordLabelResponse:
        """One label; durable before the response."""
        label = self._label(request.label, self._clock())
        if isinstance(label, TruebandError):
            raise label
        (receipt,) = self._router.record_labels((label,))
        return label_pb2.RecordLabelResponse(
            status=responses.label_status(receipt.status), reason=receipt.reason
        )

    def RecordLabels(
        self, request: label_pb2.RecordLabelsRequest, context: grpc.ServicerContext
    ) -> label_pb2.RecordLabelsResponse:
        """Many labels; each item succeeds or fails by itself."""
        requests.batch_size("labels", len(request.labels))
        if not self._has_room():
            raise errors.JournalFilling
        now = self._clock()
        receipts = self._router.record_labels([self._label(message, now) for message in request.labels])
        # Each gets its share of the room for words; what was recorded must be told whatever is wrong with others.
        share = pages.MOST_BYTES // len(receipts) - RECEIPT_BYTES
        return label_pb2.RecordLabelsResponse(
            items=[
                label_pb2.RecordLabelsItem(
                    status=responses.label_status(receipt.status),
                    reason=receipt.reason,
                    message=errors.brief(receipt.message, share),
                )
                for receipt in receipts
            ]
        )

    def GetLabels(
        self, request: label_pb2.GetLabelsRequest, context: grpc.ServicerContext
    ) -> label_pb2.GetLabelsResponse:
        """What the ledger made of a decision's labels, as many as fit into one answer."""
        resolved = self._ledger.read(
            labelled.resolved, request.decision_id, label_window_seconds=self._label_window_seconds()
        )
        decision = self._ledger.read(queries.decision, request.decision_id)
        if decision is None and not resolved:
            raise errors.NotFound(
                f"the ledger has no decision and no label under {request.decision_id!r} (yet)"
            )
        question = ("labels", request.decision_id)
        behind = pages.keys(question, request.page_token, float, str, str) if request.page_token else None
        rest = [each for each in resolved if behind is None or _position(each) > behind]
        records = responses.fitting(responses.label_record(each) for each in rest)
        response = label_pb2.GetLabelsResponse(labels=records, resolution_version=RESOLUTION_VERSION)
        if len(records) < len(rest):
            response.next_page_token = pages.token(question, _position(rest[len(records) - 1]))
        if decision is not None:
            judged = next((each.answer for each in resolved if each.answer is not None), None)
            response.answered_by = responses.SOURCES[(judged or decision.answers[0]).verdict.source]
        return response

    def _label(self, message: label_pb2.Label, now: float) -> tuple[Label, bytes] | TruebandError:
        try:
            label, fingerprint = requests.label(message, now=now, sidecar_id=self._sidecar_id)
            label = permissions.checked_label(label)
            check_class(label.true_class, self._tables())
            return label, fingerprint
        except TruebandError as error:
            return error


def check_class(true_class: str | None, tables: Mapping[str, ModelTable]) -> None:
    """Refuses a class that no model of the policy has, since it would count as a wrong answer.

    A label names a decision, not its model, and the ledger is not asked here. So nothing is refused as long as a
    model lists no classes: it may be that one's.

    Raises:
        errors.InvalidRequest: naming the classes that there are.
    """
    if true_class is None or not all(table.class_index for table in tables.values()):
        return
    known = sorted({name for table in tables.values() for name in table.class_index})
    if true_class not in known:
        raise errors.InvalidRequest(
            (errors.Violation("label.true_class", f"is none of the policy's classes: {', '.join(known)}"),)
        )


def _position(resolved: ResolvedLabel) -> list[str | float | bool]:
    """Where a label stands among those of its decision, oldest first."""
    return [float(resolved.label.recorded_at), resolved.label.source, resolved.label.event_id]
