"""Sends labels to `LabelService`, and says of each row what became of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf import timestamp_pb2
from trueband.v1 import decision_pb2, decision_pb2_grpc, label_pb2, label_pb2_grpc

from training.label_import.rows import LabelRow

BATCH = 1000
BATCH_BYTES = 3 << 20
"""Beyond one of the two, a batch ends: notes may be long, and a sidecar takes 16 MiB at most."""

DEADLINE_SECONDS = 60.0
LOOKED_UP = 20
"""How many decisions are looked up before anything is sent: a file of the wrong column is known by then."""

_NOBODY_SAYS = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOutcome:
    """What became of a row: ACCEPTED, DUPLICATE or REJECTED, and for the last a code and what to do."""

    number: int
    decision_id: str
    event_id: str
    status: str
    reason: str = ""
    message: str = ""


def message(row: LabelRow, source: str) -> label_pb2.Label:
    """The label of the contract that a row says."""
    label = label_pb2.Label(
        source=source,
        about=f"LABEL_SUBJECT_{row.about}",
        channel=f"LABEL_CHANNEL_{row.channel}",
    )
    for field, text in row.texts.items():
        setattr(label, field, text)
    if row.true_class is not None:
        label.true_class = row.true_class
    elif row.cannot_tell:
        label.cannot_tell.SetInParent()
    else:
        label.correct = bool(row.correct)
    if row.observed_at is not None:
        stamp = timestamp_pb2.Timestamp()
        stamp.FromNanoseconds(round(row.observed_at * 1e6) * 1000)
        label.observed_at.CopyFrom(stamp)
    return label


def send(
    channel: grpc.Channel, rows: Sequence[LabelRow], source: str, *, on_sent: Callable[[int], None]
) -> Iterator[RowOutcome]:
    """Sends the rows in batches; what is yielded is durable, or refused.

    Args:
        channel: to a sidecar.
        rows: in the order of the file.
        source: the system that says so.
        on_sent: is told after each batch how many rows were in it.

    Raises:
        grpc.RpcError: a batch could not be sent. It may be sent again: a label is taken once.
    """
    stub = label_pb2_grpc.LabelServiceStub(channel)
    for part in batches((row, message(row, source)) for row in rows):
        response = stub.RecordLabels(
            label_pb2.RecordLabelsRequest(labels=[label for _, label in part]),
            timeout=DEADLINE_SECONDS,
        )
        for (row, _), item in zip(part, response.items, strict=True):
            yield RowOutcome(
                number=row.number,
                decision_id=row.texts["decision_id"],
                event_id=row.texts["event_id"],
                status=label_pb2.LabelStatus.Name(item.status).removeprefix("LABEL_STATUS_"),
                reason=item.reason,
                message=item.message,
            )
        on_sent(len(part))


def batches(
    labels: Iterable[tuple[LabelRow, label_pb2.Label]],
) -> Iterator[list[tuple[LabelRow, label_pb2.Label]]]:
    """The labels in their order, in batches of at most so many labels and bytes; no batch is empty."""
    batch: list[tuple[LabelRow, label_pb2.Label]] = []
    size = 0
    for row, label in labels:
        if batch and (len(batch) == BATCH or size + label.ByteSize() > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((row, label))
        size += label.ByteSize()
    if batch:
        yield batch


def known_decisions(channel: grpc.Channel, rows: Sequence[LabelRow]) -> tuple[int, int] | None:
    """How many of the first decisions that rows name the ledger has, and how many were looked up.

    None where nobody here can say: the caller may not read decisions, or the ledger is away.
    """
    stub = decision_pb2_grpc.DecisionServiceStub(channel)
    ids = list(dict.fromkeys(row.texts["decision_id"] for row in rows))[:LOOKED_UP]
    known = 0
    for decision_id in ids:
        try:
            stub.GetDecision(
                decision_pb2.GetDecisionRequest(decision_id=decision_id), timeout=DEADLINE_SECONDS
            )
            known += 1
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else None
            if code in _NOBODY_SAYS:
                return None
            if code is not grpc.StatusCode.NOT_FOUND:
                raise
    return known, len(ids)
