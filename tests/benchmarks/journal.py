"""How long it takes to keep a record, and how fast records reach the ledger."""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sidecar.decision.records import Decision, Label
from sidecar.decision.steps import CalibratorReference
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import labelled as ledger_labelled
from sidecar.ledger.store import Ledger
from tests import builders

APPENDS = 20_000
DURABLE_APPENDS = 300
THREADS = 8
BATCH = 5_000
FORWARDED = 20_000

DECISION = builders.decision(
    0,
    request_id="3f0c7a52-3e0e-4b8f-9c5e-1a2b3c4d5e6f",
    calibrated_confidence=0.912345,
    calibrator=CalibratorReference(name="lead-classifier", version="3", kind="isotonic", digest="d" * 64),
)


def run() -> list[tuple[str, str]]:
    """Measures on the disk that holds the temporary files; gives (what, how much)."""
    with tempfile.TemporaryDirectory(prefix="trueband-bench-") as name:
        directory = Path(name)
        return [*_appends(directory), *_forwards(directory)]


def _appends(directory: Path) -> list[tuple[str, str]]:
    with Journal(directory / "appends") as journal:
        one = _seconds(lambda: journal.append((DECISION,), durable=False), APPENDS)
        durable = _seconds(lambda: journal.append((DECISION,), durable=True), DURABLE_APPENDS)
        together = _in_threads(journal)
        batch = [DECISION] * BATCH
        batched = _seconds(lambda: journal.append(batch, durable=False), 10) / BATCH
    return [
        ("journal: append one decision", f"{one * 1e6:.1f} us"),
        ("journal: append one decision, fsynced", f"{durable * 1e6:.0f} us"),
        (f"journal: the same from {THREADS} threads, each", f"{together * 1e6:.0f} us"),
        (f"journal: append {BATCH:,} decisions at once, each", f"{batched * 1e6:.2f} us"),
    ]


def _forwards(directory: Path) -> list[tuple[str, str]]:
    with (
        Journal(directory / "forwards") as journal,
        Ledger(f"sqlite:///{directory}/ledger.db") as ledger,
    ):
        ledger.migrate()
        decisions = [
            builders.altered(
                DECISION,
                decision_id=f"d{number:031d}",
                answer_id=f"a{number:031d}",
                decided_at=1.77e9 + number,
            )
            for number in range(FORWARDED)
        ]
        decided = _forwarded(journal, ledger, decisions)
        labels = [builders.label_about(decision, True, None) for decision in decisions]
        labelled = _forwarded(journal, ledger, labels)
        start = time.perf_counter()
        found = len(ledger.read(ledger_labelled.labelled, "lead-classifier"))
        reading = time.perf_counter() - start
    if found != FORWARDED:
        raise AssertionError(f"the ledger has {found} labelled decisions of {FORWARDED}")
    return [
        ("ledger: decisions forwarded per second", f"{decided:,.0f}"),
        ("ledger: labels forwarded per second", f"{labelled:,.0f}"),
        ("ledger: labelled decisions read per second", f"{found / reading:,.0f}"),
    ]


def _forwarded(journal: Journal, ledger: Ledger, records: "list[Decision] | list[Label]") -> float:
    journal.append(records, durable=False)
    forwarder = Forwarder(journal, ledger, sidecar_id="sidecar-a")
    start = time.perf_counter()
    forwarder.start()
    if not forwarder.stop(600.0):
        raise AssertionError(f"the forwarder did not finish: {forwarder.status()}")
    return len(records) / (time.perf_counter() - start)


def _in_threads(journal: Journal) -> float:
    def work() -> None:
        for _ in range(DURABLE_APPENDS):
            journal.append((DECISION,), durable=True)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / (DURABLE_APPENDS * THREADS)


def _seconds(action: Callable[[], None], times: int) -> float:
    action()
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times
