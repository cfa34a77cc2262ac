"""What is appended is read back, whatever the disk does meanwhile."""

import errno
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import errors
from sidecar.decision import records
from sidecar.decision.records import Artifact
from sidecar.journal import segments, tail
from sidecar.journal.journal import Entry, Journal
from sidecar.journal.segments import Position, Recovery
from tests import builders


def everything(journal: Journal, limit: int = 1000) -> list[Entry]:
    position, found = journal.start, []
    while True:
        entries, position = journal.read(position, limit)
        if not entries:
            return found
        found += entries


def ids(entries: list[Entry]) -> list[str]:
    return [getattr(records.decode(entry.body), "answer_id", "") for entry in entries]


def note(number: int, size: int = 0) -> Artifact:
    return Artifact(digest=f"{number:06d}", kind="policy", body="x" * size)


def numbers(entries: list[Entry]) -> list[int]:
    return [int(records.decode(entry.body).digest) for entry in entries]  # type: ignore[union-attr]


def the_file(directory: Path) -> Path:
    """The newest segment."""
    return segments.listing(directory)[-1].path


def test_gives_back_equal_records_in_order(journal: Journal) -> None:
    made = [builders.decision(number) for number in range(1, 8)]
    journal.append(made[:1], durable=False)
    journal.append(made[1:6], durable=True)
    journal.append([], durable=True)
    journal.append(made[6:], durable=False)
    entries = everything(journal, limit=3)
    assert [records.decode(entry.body) for entry in entries] == made
    assert [entry.sequence for entry in entries] == list(range(1, 8))


def test_numbers_go_on_after_a_restart_and_after_everything_was_released(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1), note(2)], durable=False)
        identity = journal.identity
        journal.release(journal.end)
    for restart in range(3):
        with Journal(tmp_path / "j") as journal:
            assert journal.identity == identity
            journal.append([note(3 + restart)], durable=False)
            entries = everything(journal)
            assert entries[-1].sequence == 3 + restart
            journal.release(journal.end)


def test_restarts_alone_leave_no_files_behind(tmp_path: Path) -> None:
    for _ in range(5):
        Journal(tmp_path / "j").close()
    assert len(segments.listing(tmp_path / "j")) == 1


def test_a_wiped_directory_is_another_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        first = journal.identity
    for path in (tmp_path / "j").iterdir():
        path.unlink()
    with Journal(tmp_path / "j") as journal:
        assert journal.identity != first


def test_two_processes_cannot_share_a_directory(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(errors.SettingsRefused, match=str(tmp_path / "j")):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").close()  # and it is free again


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.SettingsRefused, match="file"):
        Journal(tmp_path / "file" / "j")


def test_files_are_for_the_owner_alone(journal: Journal) -> None:
    journal.append([note(1)], durable=True)
    journal.release(journal.end)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.directory.iterdir()}
    assert len(modes) == 4  # segment, identity, released, format
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.integers(0, 400), max_size=6), max_size=12),
    limit=st.integers(1, 7),
    reopen_every=st.integers(1, 5),
)
def test_every_record_is_read_exactly_once_across_segments_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], limit: int, reopen_every: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    appended: list[int] = []
    seen: list[int] = []
    position = Position()
    journal = Journal(directory, max_bytes=100_000, segment_bytes=600)
    for turn, sizes in enumerate(batches):
        batch = [note(len(appended) + offset, size) for offset, size in enumerate(sizes)]
        journal.append(batch, durable=turn % 2 == 0)
        appended += range(len(appended), len(appended) + len(sizes))
        entries, position = journal.read(position, limit)
        seen += numbers(entries)
        journal.release(position)
        assert journal.backlog().records == len(appended) - len(seen)
        if turn % reopen_every == 0:
            journal.close()
            journal = Journal(directory, max_bytes=100_000, segment_bytes=600)
            assert journal.backlog().records == len(appended) - len(seen)
    while (found := journal.read(position, limit))[0]:
        entries, position = found
        seen += numbers(entries)
    journal.release(position)
    assert seen == appended
    assert journal.backlog().records == 0
    assert len(segments.listing(directory)) == 1
    assert journal.recovery.cut_bytes == journal.recovery.corrupt_regions == 0
    journal.close()


def test_released_segments_are_deleted_and_their_bytes_are_free_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", max_bytes=4000) as journal:
        number = 0
        while journal.size_bytes + 200 <= 4000:
            journal.append([note(number, 100)], durable=False)
            number += 1
        with pytest.raises(errors.JournalUnavailable, match="bound"):
            journal.append([note(number, 1000)], durable=False)
        held = everything(journal)
        assert numbers(held) == list(range(number))
        assert journal.size_bytes <= 4000
        journal.release(held[-1].position)
        assert journal.size_bytes <= 1000
        journal.append([note(number, 100)], durable=False)
        assert numbers(everything(journal))[-1] == number


def test_age_of_the_backlog_is_that_of_the_oldest_record_that_waits(tmp_path: Path) -> None:
    now = [1000.0]
    with Journal(tmp_path / "j", clock=lambda: now[0]) as journal:
        assert journal.backlog().oldest_age_seconds == 0.0
        journal.append([note(1)], durable=False)
        now[0] = 1010.0
        journal.append([note(2)], durable=False)
        now[0] = 1030.0
        assert (journal.backlog().records, journal.backlog().oldest_age_seconds) == (2, 30.0)
        entries, _ = journal.read(journal.start, 1)
        journal.release(entries[0].position)
        assert (journal.backlog().records, journal.backlog().oldest_age_seconds) == (1, 20.0)
    with Journal(tmp_path / "j", clock=lambda: now[0]) as journal:
        assert (journal.backlog().records, journal.backlog().oldest_age_seconds) == (1, 20.0)
        journal.release(journal.end)
        now[0] = 900.0  # a clock set back gives no negative age
        journal.append([note(3)], durable=False)
        now[0] = 800.0
        assert journal.backlog().oldest_age_seconds == 0.0


@pytest.mark.parametrize("damage", [b"", b"\xff", b"not json", b"[1]", b'["a", 3]'])
def test_the_note_of_what_was_released_is_only_a_hint(tmp_path: Path, damage: bytes) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1), note(2)], durable=False)
        journal.release(journal.read(journal.start, 1)[1])
    (tmp_path / "j" / "released").write_bytes(damage)
    with Journal(tmp_path / "j") as journal:
        assert journal.backlog().records == 2
        assert numbers(everything(journal)) == [1, 2]


class Disk:
    """Stands in for the system calls of the tail, and fails on request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write_at_most: int | None = None
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None
        self.truncate_error: OSError | None = None
        self.writes = self.syncs = 0
        self._write, self._truncate, self._fdatasync = os.write, os.ftruncate, os.fdatasync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.truncate)
        monkeypatch.setattr(tail, "_sync", self.sync)

    def write(self, descriptor: int, data: bytes) -> int:
        self.writes += 1
        if self.write_at_most is None and self.write_error is not None:
            raise self.write_error
        if self.write_at_most is not None:
            allowed, self.write_at_most = self.write_at_most, None
            return self._write(descriptor, bytes(data)[:allowed])
        return self._write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.truncate_error is not None:
            raise self.truncate_error
        self._truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_error is not None:
            raise self.sync_error
        self._fdatasync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_batch_is_one_write(journal: Journal, disk: Disk) -> None:
    journal.append([note(number) for number in range(500)], durable=False)
    assert (disk.writes, disk.syncs) == (1, 0)
    journal.append([note(500)], durable=True)
    assert (disk.writes, disk.syncs) == (2, 1)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("part", [None, 0, 1, 27, 28, 40])
@pytest.mark.parametrize("truncates", [True, False])
def test_a_refused_write_leaves_no_trace(
    tmp_path: Path, disk: Disk, code: int, part: int | None, truncates: bool
) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1)], durable=False)
        disk.write_error, disk.write_at_most = OSError(code, "refused"), part
        disk.truncate_error = None if truncates else OSError(errno.EIO, "refused")
        with pytest.raises(errors.JournalUnavailable, match=r"refused|no more bytes"):
            journal.append([note(90), note(91)], durable=True)
        assert numbers(everything(journal)) == [1]
        disk.write_error = disk.truncate_error = None
        journal.append([note(2)], durable=True)
        assert numbers(everything(journal)) == [1, 2]
    with Journal(tmp_path / "j") as journal:
        entries = everything(journal)
        assert numbers(entries) == [1, 2]
        assert [entry.sequence for entry in entries] == [1, 2]


def test_a_write_that_is_cut_short_is_completed(journal: Journal, disk: Disk) -> None:
    disk.write_at_most = 10
    journal.append([note(1), note(2)], durable=False)
    assert disk.writes == 2
    assert numbers(everything(journal)) == [1, 2]


def test_after_a_failed_sync_nothing_is_called_durable_that_may_not_be(tmp_path: Path, disk: Disk) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1)], durable=True)
        journal.append([note(2)], durable=False)
        disk.sync_error = OSError(errno.EIO, "lost")
        with pytest.raises(errors.JournalUnavailable, match="synced"):
            journal.append([note(3)], durable=True)
        disk.sync_error = None  # as on Linux: the second sync says yes, though the pages are gone
        first = the_file(journal.directory)
        journal.append([note(4)], durable=True)
        assert the_file(journal.directory) != first, "the bytes must go to a file that never failed"
        assert numbers(everything(journal)) == [1, 2, 3, 4]


def test_waiters_of_a_failed_sync_fail_too_while_earlier_ones_do_not(tmp_path: Path, disk: Disk) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1)], durable=True)
        old, end = journal._tail, journal._tail.end
        journal.append([note(2)], durable=False)
        disk.sync_error = OSError(errno.EIO, "lost")
        with pytest.raises(errors.JournalUnavailable):
            old.make_durable(old.end)
        disk.sync_error = None
        journal.append([note(3)], durable=True)
        old.make_durable(end)  # was synced before
        with pytest.raises(errors.JournalUnavailable):
            old.make_durable(end + 1)


def test_no_new_file_means_no_append_and_heals_by_itself(
    journal: Journal, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.sync_error = OSError(errno.EIO, "lost")
    with pytest.raises(errors.JournalUnavailable):
        journal.append([note(1)], durable=True)
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(errno.ENOSPC, "full")
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(2):
        with pytest.raises(errors.JournalUnavailable, match="full"):
            journal.append([note(2)], durable=False)
    monkeypatch.setattr(os, "open", real)
    disk.sync_error = None
    journal.append([note(2)], durable=True)
    assert numbers(everything(journal)) == [1, 2]


def test_a_closed_journal_refuses(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([note(1)], durable=False)
    journal.close()
    journal.close()
    with pytest.raises(errors.JournalUnavailable, match="closed"):
        journal.append([note(2)], durable=False)


def test_threads_share_syncs_and_lose_nothing(tmp_path: Path, disk: Disk) -> None:
    each, threads = 40, 8
    with Journal(tmp_path / "j", segment_bytes=4000) as journal:
        ready = threading.Barrier(threads)

        def work(thread: int) -> None:
            ready.wait()
            for number in range(each):
                journal.append([note(thread * each + number)], durable=True)

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        entries = everything(journal)
        found = numbers(entries)
        assert sorted(found) == list(range(each * threads))
        assert [entry.sequence for entry in entries] == list(range(1, each * threads + 1))
        for thread in range(threads):
            own = [number for number in found if number // each == thread]
            assert own == sorted(own)
        assert disk.syncs < each * threads
        assert len(segments.listing(journal.directory)) > 1


@pytest.mark.parametrize("cut", [1, 5, 27, 28, 29, 60])
def test_a_torn_end_is_cut_off_counted_and_said(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([note(1), note(2)], durable=False)
        frame = segments.HEADER_BYTES + len(records.encode(note(3)))
        journal.append([note(3)], durable=False)
        path = the_file(journal.directory)
    os.truncate(path, path.stat().st_size - cut)
    with Journal(tmp_path / "j") as journal:
        assert journal.recovery.cut_bytes == frame - cut
        assert journal.recovery.corrupt_regions == 0
        assert any(record.message == "journal_cut" for record in caplog.records)
        journal.append([note(3)], durable=False)
        entries = everything(journal)
        assert numbers(entries) == [1, 2, 3]
        assert [entry.sequence for entry in entries] == [1, 2, 3]
    with Journal(tmp_path / "j") as journal:  # and it is gone for good
        assert numbers(everything(journal)) == [1, 2, 3]
        assert journal.recovery == Recovery()


@pytest.mark.parametrize("reopen", [True, False])
@pytest.mark.parametrize("victim", [0, 3, 9])
@pytest.mark.parametrize("within", [0, 6, 9, 30])
def test_damage_in_the_middle_is_kept_aside_and_nothing_is_invented(
    tmp_path: Path, reopen: bool, victim: int, within: int
) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([note(number) for number in range(10)], durable=False)
    path = the_file(journal.directory)
    frame = path.stat().st_size // 10
    if reopen:
        journal.close()
    with path.open("r+b") as file:
        file.seek(victim * frame + within)
        byte = file.read(1)
        file.seek(victim * frame + within)
        file.write(bytes([byte[0] ^ 0x40]))
    damaged = path.read_bytes()[victim * frame : (victim + 1) * frame]
    if reopen:
        journal = Journal(tmp_path / "j")
    journal.append([note(10)], durable=False)
    for _ in range(2):  # counted once, however often it is read
        entries = everything(journal, limit=4)
        assert numbers(entries) == [number for number in range(11) if number != victim]
    journal.close()
    torn = (
        victim == 9 and reopen and within == 9 and damaged[9] & 0x40
    )  # a length beyond the end: never written whole
    if torn:
        assert journal.recovery.cut_bytes == frame
        return
    assert (journal.recovery.corrupt_regions, journal.recovery.corrupt_bytes) == (1, frame)
    (aside,) = (tmp_path / "j").glob("*.corrupt")
    assert aside.read_bytes() == damaged
    journal = Journal(tmp_path / "j")
    journal.release(journal.end)
    assert aside.exists()
    journal.close()


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    harm=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
    cut=st.floats(0, 1),
    chunk=st.integers(1, 200),
)
def test_walking_damaged_bytes_gives_only_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    harm: list[tuple[float, int]],
    cut: float,
    chunk: int,
) -> None:
    bodies = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    data = bytearray(segments.join_frames(bodies, segments.checksums(bodies), sequence=1, appended_at=5.0))
    whole = bytes(data)
    for place, flip in harm:
        data[int(place * len(data))] ^= flip
    del data[len(data) - int(cut * 20) :]
    path = tmp_path_factory.mktemp("walk") / "segment"
    path.write_bytes(bytes(data))
    covered, last, seen = 0, 0, set()
    for found in segments.walk(path, 0, len(data), chunk_bytes=chunk):
        if isinstance(found, segments.Damage):
            assert found.start == covered < found.end
            covered = found.end
        else:
            assert found.body == bodies[found.sequence - 1]
            assert found.sequence > last
            last = found.sequence
            seen.add(last)
            covered += segments.HEADER_BYTES + len(found.body)
            assert found.end == covered
    assert covered == len(data)
    end = 0
    for sequence, body in enumerate(bodies, start=1):
        start, end = end, end + segments.HEADER_BYTES + len(body)
        assert (sequence in seen) == (data[start:end] == whole[start:end]), "every intact frame is found"


def test_text_that_looks_like_a_frame_is_not_taken_for_one(tmp_path: Path) -> None:
    body = records.encode(note(99))
    forged = segments.join_frames([body], segments.checksums([body]), sequence=7, appended_at=1.0).decode(
        "latin-1"
    )
    with Journal(tmp_path / "j") as journal:
        journal.append([Artifact(digest="000001", kind="policy", body=forged), note(2)], durable=False)
        path = the_file(journal.directory)
        with path.open("r+b") as file:
            file.seek(8)
            file.write(b"\x01\x01")  # breaks the length, so that the reader has to look for the next frame
        assert numbers(everything(journal)) == [2]


def test_a_sealed_file_that_was_deleted_by_hand_stops_nobody(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", segment_bytes=100) as journal:
        for number in range(4):
            journal.append([note(number, 80)], durable=False)
        segments.listing(journal.directory)[1].path.unlink()
        entries = everything(journal)
        assert numbers(entries) == [0, 2, 3]
        assert [entry.sequence for entry in entries] == [1, 3, 4], "the gap shows"


def test_what_is_written_into_a_deleted_file_is_not_acknowledged(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append([builders.decision(1)], durable=True)
        assert journal.trouble == ""
        shutil.rmtree(tmp_path / "j")
        for durable in (False, True):
            with pytest.raises(errors.JournalUnavailable):
                journal.append([builders.decision(2)], durable=durable)
            assert journal.trouble
        journal.look()
        assert journal.trouble, "its folder is still away"
        (tmp_path / "j").mkdir()
        journal.look()
        assert journal.trouble == ""
        journal.append([builders.decision(3)], durable=True)


def test_the_last_quarter_of_the_bound_is_not_for_batches(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", max_bytes=20_000) as journal:
        number = 0
        while journal.has_room:
            number += 1
            journal.append([builders.decision(number)], durable=False)
        assert 0.75 * 20_000 < journal.size_bytes < 20_000
        more = [builders.decision(number) for number in range(100, 200)]
        with pytest.raises(errors.JournalUnavailable):
            journal.append(more, durable=False)
        assert "raise the journal's bound" in journal.trouble
        journal.look()
        assert journal.trouble, "it is still full"
        journal.release(journal.end)
        journal.look()
        assert journal.trouble == ""
