"""kill -9, again and again, over one directory: what was acknowledged is there, in order, exactly once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sidecar.decision import records
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import facts, queue, schema
from sidecar.ledger.store import Ledger

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys, threading
from pathlib import Path
from sidecar.journal.journal import Journal
from sidecar.policy.actions import Action, TaskKind
from tests import builders

directory, life, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
forwards = sys.argv[4] == "forward"
journal = Journal(directory / "journal", segment_bytes=20_000)
if forwards:
    from sidecar.journal.forwarder import Forwarder
    from sidecar.ledger.store import Ledger
    Forwarder(journal, Ledger(f"sqlite:///{directory}/ledger.db"), sidecar_id="s",
              batch_records=7, poll_seconds=0.001).start()
out = sys.stdout

def decision(name):
    return builders.decision(
        decision_id="d" + name, answer_id=name, model="m", action=Action.HOLD_FOR_REVIEW, band="",
        tasks=builders.planned(TaskKind.HOLD, due_at=9.0),
    )

def work(thread):
    number = 0
    while True:
        size = 1 + number % 3
        names = [f"{life}-{thread}-{number + step}" for step in range(size)]
        journal.append([decision(name) for name in names], durable=number % 5 == 0)
        number += size
        out.write("".join(name + "\\n" for name in names))
        out.flush()

for thread in range(threads):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def live_and_die(directory: Path, life: int, *, threads: int, forwards: bool, seconds: float) -> list[str]:
    """Starts the program, kills it so many seconds after its first word, and gives what it acknowledged."""
    arguments = [str(directory), str(life), str(threads), "forward" if forwards else "keep"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
    )
    assert process.stdout is not None
    said = [process.stdout.readline()]

    def listen() -> None:
        assert process.stdout is not None
        said.extend(process.stdout)

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it must have been alive until then"
    listener.join()
    process.stdout.close()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize("threads", [1, 4])
def test_every_acknowledged_record_is_read_back_in_order_exactly_once(tmp_path: Path, threads: int) -> None:
    rng = random.Random(20_260_202 + threads)
    acknowledged: list[str] = []
    for life in range(6):
        acknowledged += live_and_die(
            tmp_path, life, threads=threads, forwards=False, seconds=rng.uniform(0.0, 0.25)
        )
    assert len(acknowledged) > 20
    with Journal(tmp_path / "journal") as journal:
        assert journal.recovery.corrupt_regions == 0
        position, found, sequences = journal.start, [], []
        while (batch := journal.read(position, 100))[0]:
            entries, position = batch
            found += [records.decode(entry.body).answer_id for entry in entries]  # type: ignore[union-attr]
            sequences += [entry.sequence for entry in entries]
    assert sequences == list(range(1, len(found) + 1))
    assert len(set(found)) == len(found)
    assert set(acknowledged) <= set(found)
    for life in range(6):
        for thread in range(threads):
            own = [name for name in found if name.startswith(f"{life}-{thread}-")]
            assert own == [f"{life}-{thread}-{number}" for number in range(len(own))]


def test_every_acknowledged_record_reaches_the_ledger_and_is_counted_once(tmp_path: Path) -> None:
    rng = random.Random(7)
    acknowledged: list[str] = []
    for life in range(5):
        acknowledged += live_and_die(tmp_path, life, threads=2, forwards=True, seconds=rng.uniform(0.1, 0.6))
    with (
        Journal(tmp_path / "journal") as journal,
        Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger,
    ):
        forwarder = Forwarder(journal, ledger, sidecar_id="s")
        forwarder.start()
        assert forwarder.stop(60.0)
        assert forwarder.status().missing_records == forwarder.status().refused_records == 0
        with ledger._engine.connect() as connection:
            stored = list(
                connection.execute(
                    schema.answers.select().with_only_columns(schema.answers.c.answer_id)
                ).scalars()
            )
        assert set(acknowledged) <= set(stored)
        (stratum,) = ledger.read(facts.strata, "m", None, None)
        assert stratum.n == len(stored) == ledger.read(queue.tasks, page_size=1).total
