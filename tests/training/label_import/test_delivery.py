"""How labels are cut into batches, without a sidecar."""

from trueband.v1 import label_pb2

from training.label_import import delivery


def test_batches_end_by_count_and_by_bytes_and_lose_nothing() -> None:
    long = [(number, label_pb2.Label(event_id=str(number), note="n" * 16_000)) for number in range(500)]
    short = [(number, label_pb2.Label(event_id=str(number))) for number in range(500, 3000)]
    batches = list(delivery.batches(iter(long + short)))  # type: ignore[arg-type]
    assert [number for batch in batches for number, _ in batch] == list(range(3000))
    assert max(len(batch) for batch in batches) == delivery.BATCH
    sizes = [
        label_pb2.RecordLabelsRequest(labels=[label for _, label in batch]).ByteSize() for batch in batches
    ]
    assert max(sizes) < 4 << 20
    assert list(delivery.batches(())) == []
