"""The journal reaches the ledger: late if need be, once, and never held up by one bad record."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.decision import records
from sidecar.journal import journal as journals
from sidecar.journal import segments
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import database, facts, intake
from sidecar.ledger.intake import Mark
from sidecar.ledger.store import Ledger
from tests import builders


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another thread brings about; the test's own time limit ends a vain wait."""
    while not condition():
        time.sleep(0.005)


@pytest.fixture
def running() -> Iterator[Callable[..., Forwarder]]:
    """Starts forwarders, and stops them at the end."""
    started: list[Forwarder] = []

    def start(journal: Journal, ledger: Ledger, **options: object) -> Forwarder:
        options = {"sidecar_id": "s", "poll_seconds": 0.002, "jitter": lambda: 0.0} | options
        forwarder = Forwarder(journal, ledger, **options)  # type: ignore[arg-type]
        forwarder.start()
        started.append(forwarder)
        return forwarder

    yield start
    for forwarder in started:
        forwarder.stop(10.0)


def count(ledger: Ledger) -> int:
    return sum(stratum.n for stratum in ledger.read(facts.strata, "lead-classifier", None, None))


class Moody:
    """A ledger that fails on request, before or after the work is done."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away: Exception | None = None
        self.forgets_to_answer = 0
        self.applied: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        real = getattr(self._ledger, name)

        def call(*arguments: object, **more: object) -> object:
            if self.away is not None:
                raise self.away
            return real(*arguments, **more)

        return call

    def write(self, work: Callable[..., object], *arguments: object) -> None:
        if self.away is not None:
            raise self.away
        self._ledger.write(work, *arguments)
        if work is not intake.take_in_journal:
            return
        _, _, taken, _ = arguments
        assert isinstance(taken, list)
        self.applied.append(len(taken))
        if self.forgets_to_answer > 0:
            self.forgets_to_answer -= 1
            raise errors.LedgerUnavailable("the connection broke after the commit")


def test_everything_arrives_in_batches_and_the_journal_shrinks(
    tmp_path: Path, ledger_url: str, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j", segment_bytes=5000) as journal, Ledger(ledger_url) as ledger:
        for number in range(1, 101):
            journal.append([builders.decision(number)], durable=False)
        before = journal.size_bytes
        forwarder = running(journal, ledger, batch_records=7)
        until(lambda: forwarder.status().backlog_records == 0)
        assert count(ledger) == 100
        assert journal.size_bytes < before
        status = forwarder.status()
        assert (status.last_error, status.away, status.refused_records, status.missing_records) == (
            "",
            False,
            0,
            0,
        )
        assert status.backlog_age_seconds == 0.0
        assert status.last_forwarded_at is not None
        journal.append([builders.decision(101)], durable=True)
        until(lambda: count(ledger) == 101)
        mark = ledger.read(intake.journal_mark, "s", journal.identity)
        assert mark is not None
        assert mark.sequence == 101


def test_stopping_drains(tmp_path: Path, ledger: Ledger) -> None:
    with Journal(tmp_path / "j") as journal:
        forwarder = Forwarder(journal, ledger, sidecar_id="s", batch_records=3, poll_seconds=30.0)
        forwarder.start()
        until(lambda: forwarder._connected)
        journal.append([builders.decision(number) for number in range(1, 20)], durable=False)
        assert forwarder.stop(60.0)
        assert count(ledger) == 19


def test_stopping_without_a_ledger_gives_up_and_says_so(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, Ledger(f"sqlite:///{tmp_path}/missing/l.db") as ledger:
        journal.append([builders.decision(1)], durable=False)
        forwarder = Forwarder(journal, ledger, sidecar_id="s")
        assert not forwarder.stop(0.0), "it may be stopped before it was started"
        forwarder = Forwarder(journal, ledger, sidecar_id="s")
        forwarder.start()
        until(lambda: forwarder.status().away)
        assert not forwarder.stop(5.0)
        assert "LedgerUnavailable" in forwarder.status().last_error


def test_a_ledger_that_comes_and_goes(
    tmp_path: Path, ledger_url: str, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal, Ledger(ledger_url) as real:
        moody = Moody(real)
        moody.away = errors.LedgerUnavailable("gone fishing")
        forwarder = running(journal, moody, batch_records=5)
        journal.append([builders.decision(number) for number in range(1, 11)], durable=False)
        until(lambda: "gone fishing" in forwarder.status().last_error)
        assert forwarder.status().backlog_records == 10
        moody.away = None
        until(lambda: forwarder.status().backlog_records == 0)
        assert forwarder.status().last_error == ""
        for number in range(3):
            moody.away = RuntimeError("a bug somewhere")
            journal.append([builders.decision(11 + number)], durable=False)
            until(lambda: "a bug somewhere" in forwarder.status().last_error)
            moody.away = None
            until(lambda: forwarder.status().backlog_records == 0)
        assert count(real) == 13


def test_a_commit_whose_answer_was_lost_is_not_counted_twice(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal:
        moody = Moody(ledger)
        moody.forgets_to_answer = 2
        journal.append([builders.decision(number) for number in range(1, 11)], durable=False)
        forwarder = running(journal, moody, batch_records=5)
        until(lambda: forwarder.status().backlog_records == 0)
        assert moody.applied == [5, 5], "it asked where to go on"
        assert count(ledger) == 10


def test_waits_grow_and_are_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "j") as journal, Ledger(f"sqlite:///{tmp_path}/missing/l.db") as ledger:
        forwarder = Forwarder(journal, ledger, sidecar_id="s", jitter=lambda: 0.5)
        waits: list[float] = []

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 12:
                forwarder._stopping.set()
            return True

        monkeypatch.setattr(forwarder._stopping, "wait", wait)
        forwarder._run()
        assert waits[:4] == pytest.approx([0.075, 0.15, 0.3, 0.6])
        assert waits[-1] == pytest.approx(3.75), "never so long that holds are left behind"
        assert max(waits) <= 5.0


def test_after_a_frozen_ledger_the_backlog_is_not_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    with Journal(tmp_path / "j", clock=lambda: 100.0 + sum(waits)) as journal:
        forwarder = Forwarder(journal, None, sidecar_id="s")  # type: ignore[arg-type]

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            return False

        monkeypatch.setattr(forwarder._stopping, "wait", wait)
        forwarder._pause(20.0)
        assert sum(waits) == pytest.approx(2.0), "whatever the batch took"
        waits.clear()
        forwarder._pause(0.01)
        assert waits == pytest.approx([0.03])
        journal.append([builders.decision(1)], durable=False)
        monkeypatch.setattr("sidecar.journal.forwarder.HURRY_AFTER_SECONDS", 0.5)
        waits.clear()
        forwarder._pause(20.0)
        assert sum(waits) == pytest.approx(0.6), "a hold came, and has waited"


def test_a_ledger_that_does_not_answer_is_away_and_one_that_was_slow_is_told(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    class Frozen(Moody):
        asked, thaw = threading.Event(), threading.Event()

        def write(self, work: Callable[..., object], *arguments: object) -> None:
            self.asked.set()
            self.thaw.wait()
            super().write(work, *arguments)

    moments = [1000.0]
    frozen = Frozen(ledger)
    with Journal(tmp_path / "j") as journal:
        forwarder = running(journal, frozen, monotonic=lambda: moments[0])  # type: ignore[arg-type]
        until(lambda: forwarder._connected)
        journal.append([builders.decision(1)], durable=False)
        frozen.asked.wait()
        moments[0] += 4.0
        assert (forwarder.status().away, forwarder.status().last_error) == (False, "")
        moments[0] += 4.0
        assert (forwarder.status().away, forwarder.status().last_error) == (
            True,
            "the ledger has not answered for 8 s",
        )
        frozen.thaw.set()
        until(lambda: forwarder.status().backlog_records == 0)
        until(lambda: not forwarder.status().away)
        journal.append([builders.decision(2)], durable=False)
        until(lambda: forwarder.status().backlog_records == 0)
        until(lambda: forwarder.status().last_error == "")


def test_one_bad_record_is_set_aside_and_holds_up_nobody(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    poison = builders.decision(7, decided_at=1e18)  # a time that no calendar has
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(number) for number in range(1, 7)], durable=False)
        journal.append([poison], durable=False)
        journal.append([builders.decision(number) for number in range(8, 21)], durable=False)
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        assert count(ledger) == 19
        assert forwarder.status().refused_records == 1
        ((sidecar_id, journal_id, refused),) = ledger.read(intake.records_set_aside)
        assert (sidecar_id, journal_id, refused.sequence) == ("s", journal.identity, 7)
        assert records.decode(refused.body) == poison
        assert refused.error


def test_a_record_of_a_newer_version_waits_for_it(
    tmp_path: Path,
    ledger: Ledger,
    running: Callable[..., Forwarder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer = records.encode(builders.decision(2)).replace(b'"AUTO_ROUTE"', b'"TELEPORT"')
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(1)], durable=False)
        with monkeypatch.context() as patch:
            patch.setattr(journals, "encode", lambda _: newer)
            journal.append([builders.decision(2)], durable=False)
        journal.append([builders.decision(3)], durable=False)
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        assert count(ledger) == 2
        ((_, _, refused),) = ledger.read(intake.records_set_aside, "s")
        assert refused.body == newer
        assert ledger.read(intake.records_set_aside, "another") == []
        forwarder.stop(10.0)
        # The same version again leaves it where it is; the newer one understands it.
        running(journal, ledger).stop(10.0)
        assert len(ledger.read(intake.records_set_aside)) == 1
        understood = builders.decision(2)
        real = records.decode
        monkeypatch.setattr(records, "decode", lambda body: understood if body == newer else real(body))
        again = running(journal, ledger)
        until(lambda: again._connected)
        assert ledger.read(intake.records_set_aside) == []
        assert count(ledger) == 3


def test_a_bad_record_is_not_lost_when_it_cannot_be_set_aside(
    tmp_path: Path,
    ledger: Ledger,
    running: Callable[..., Forwarder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(1, decided_at=1e18), builders.decision(2)], durable=False)

        def refuse(*_: object, **__: object) -> None:
            raise errors.LedgerUnavailable("not now")

        with monkeypatch.context() as patch:
            patch.setattr(intake, "set_aside", refuse)
            forwarder = running(journal, ledger)
            until(lambda: "not now" in forwarder.status().last_error)
            assert forwarder.status().backlog_records == 2
        until(lambda: forwarder.status().backlog_records == 0)
        assert len(ledger.read(intake.records_set_aside)) == 1
        assert count(ledger) == 1


def test_records_that_a_disk_lost_are_counted(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(number) for number in range(1, 6)], durable=False)
        (segment,) = segments.listing(journal.directory)
        with segment.path.open("r+b") as file:
            file.seek(segment.path.stat().st_size // 2)
            file.write(b"\0\0\0\0")
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        assert forwarder.status().missing_records == 1
        assert count(ledger) == 4


def test_a_wiped_journal_under_the_same_name_starts_over(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(number) for number in range(1, 30)], durable=False)
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        forwarder.stop(10.0)
    for path in (tmp_path / "j").iterdir():
        path.unlink()
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(number) for number in range(50, 55)], durable=False)
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        assert count(ledger) == 34
        assert forwarder.status().missing_records == 0
        forwarder.stop(10.0)


def test_a_ledger_that_is_ahead_of_the_journal_gets_everything_again(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal:
        ledger.write(
            intake.take_in_journal, "s", journal.identity, [], Mark(segment=99, offset=0, sequence=1000)
        )
        journal.append([builders.decision(1), builders.decision(2)], durable=False)
        forwarder = running(journal, ledger)
        until(lambda: forwarder.status().backlog_records == 0)
        assert count(ledger) == 2


def test_a_ledger_that_lost_its_contents_is_filled_with_what_is_left(
    tmp_path: Path, ledger_url: str, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j") as journal:
        with Ledger(ledger_url) as ledger:
            journal.append([builders.decision(1)], durable=False)
            running(journal, ledger).stop(10.0)
        with Ledger(f"sqlite:///{tmp_path}/other.db") as ledger:
            forwarder = running(journal, ledger)
            until(lambda: ledger_has(ledger, 1))
            assert forwarder.status().missing_records == 0


def ledger_has(ledger: Ledger, wanted: int) -> bool:
    try:
        return count(ledger) == wanted
    except errors.LedgerUnavailable:
        return False


def test_appending_goes_on_while_forwarding(
    tmp_path: Path, ledger: Ledger, running: Callable[..., Forwarder]
) -> None:
    with Journal(tmp_path / "j", segment_bytes=20_000) as journal:
        forwarder = running(journal, ledger, batch_records=11)

        def work(thread: int) -> None:
            for number in range(60):
                journal.append([builders.decision(1000 * thread + number)], durable=number % 9 == 0)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert forwarder.stop(60.0)
        assert count(ledger) == 240
        assert forwarder.status().missing_records == 0


def test_only_a_record_is_blamed_for_what_a_record_did(ledger: Ledger) -> None:
    with pytest.raises(database.RecordRefused):
        ledger.write(intake.take_in, [builders.decision(1, decided_at=float("nan"))])
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE answers RENAME TO hidden")
    with pytest.raises(errors.LedgerUnavailable):
        ledger.write(intake.take_in, [builders.decision(1)])
