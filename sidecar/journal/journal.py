"""The journal: the local, durable, append-only files in front of the ledger.

What `append` has returned for survives the death of the process; with `durable=True` also a loss of power.
One process owns a journal's directory. Segments wholly behind the released position are deleted.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from sidecar import durable_file, errors
from sidecar.decision.records import FORMAT, Record, encode
from sidecar.journal import segments
from sidecar.journal.segments import Damage, Position, Quarantine, Recovery, Segment
from sidecar.journal.tail import Tail

logger = logging.getLogger(__name__)

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20
ROOM_SHARE = 0.75
"""Of the bound: beyond it batches are refused, so that single calls and holds go on."""

_IDENTITY = "identity"
_RELEASED = "released"
_FORMAT = "format"
_PROBE = "probe"
PROBE_BYTES = 4096


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read back.

    Attributes:
        sequence: its number in this journal, from 1. A step of more than one says that records are missing.
        appended_at: seconds since the epoch.
        body: what `records.decode` takes.
        position: the place behind it.
    """

    sequence: int
    appended_at: float
    body: bytes
    position: Position


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What is not yet released: how many records, and for how many seconds the oldest has waited."""

    records: int
    oldest_age_seconds: float


class Journal:
    """An open journal. Any number of threads may append; one reads and releases."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = GIBIBYTE,
        segment_bytes: int = 64 * MEBIBYTE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens or creates the journal in a directory, and repairs what a sudden end left behind.

        Args:
            directory: of this journal alone; made if it is missing.
            max_bytes: bound of all files together; an append beyond it is refused.
            segment_bytes: from which size on a new file is begun; at most a quarter of the bound, so that a
                full journal whose records are all released can always shrink.
            clock: seconds since the epoch.

        Raises:
            errors.SettingsRefused: the directory is in use by another process, or cannot be used.
        """
        self.directory = directory
        self.max_bytes = max_bytes
        self._segment_bytes = max(1, min(segment_bytes, max_bytes // 4))
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._quarantine = Quarantine()
        self._segments: list[Segment] = []
        self._ends: dict[int, int] = {}  # of every segment but the tail's
        self._size = 0
        self._next_sequence = self._released_sequence = 1
        self._oldest_at: float | None = None
        self._trouble = ""
        with contextlib.ExitStack() as undo:
            self._owner = _take_ownership(directory)
            undo.callback(os.close, self._owner)
            try:
                _check_format(directory)
                self.identity = _read_identity(directory, new=lambda: secrets.token_hex(16))
                self._open()
            except OSError as error:
                raise errors.SettingsRefused(
                    f"the journal directory {directory} cannot be used: {error}"
                ) from error
            undo.pop_all()

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        """Returns once the records are written: to the system or, if durable, to the disk.

        Raises:
            errors.JournalUnavailable: none of them was written, or (after a failed sync alone) it is unknown
                whether they are.
        """
        bodies = [encode(record) for record in records]
        if not bodies:
            return
        try:
            self._append(bodies, durable=durable)
        except errors.JournalUnavailable as error:
            self._trouble = str(error)
            raise
        self._trouble = ""

    def _append(self, bodies: Sequence[bytes], *, durable: bool) -> None:
        sums = segments.checksums(bodies)
        size = sum(map(len, bodies)) + segments.HEADER_BYTES * len(bodies)
        with self._lock:
            if self._closed:
                raise errors.JournalUnavailable("the journal is closed: the service is stopping")
            if self._size + size > self.max_bytes:
                raise errors.JournalUnavailable(
                    f"the journal holds {self._size} of {self.max_bytes} bytes: "
                    "bring the ledger back, or raise the journal's bound"
                )
            tail, full = self._tail, None
            if tail.sealed or 0 < tail.end > self._segment_bytes - size:
                tail, full = self._begin_segment(), tail
            now = self._clock()
            tail.write(segments.join_frames(bodies, sums, sequence=self._next_sequence, appended_at=now))
            end = tail.end
            self._next_sequence += len(bodies)
            self._size += size
            if self._oldest_at is None:
                self._oldest_at = now
        if full is not None:
            full.finish()  # takes a while, and nobody else has to wait for it
        if durable:
            tail.make_durable(end)

    def read(self, position: Position, limit: int) -> tuple[list[Entry], Position]:
        """Up to `limit` records from a position on, and the position to go on from.

        Gives nothing only where there is nothing more. Damaged bytes are skipped, kept aside and counted.

        Raises:
            errors.JournalUnavailable: a file cannot be read.
        """
        while True:
            with self._lock:
                located = self._locate(position)
            if located is None:
                return [], position
            entries, position = self._read_segment(*located, limit)
            if entries:
                return entries, position

    def release(self, position: Position) -> None:
        """Says that all before the position is safe elsewhere; deletes the segments wholly before it."""
        with self._lock:
            position = self._note_released(position)
            done = [segment for segment in self._segments if segment.number < position.segment]
            self._segments = [segment for segment in self._segments if segment.number >= position.segment]
            self._size -= sum(self._ends.pop(segment.number) for segment in done)
        _remember_released(self.directory, position)
        for segment in done:
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def backlog(self) -> Backlog:
        """What is not yet released; a moment's look, at constant cost."""
        with self._lock:
            waiting, oldest_at = self._next_sequence - self._released_sequence, self._oldest_at
        age = 0.0 if oldest_at is None or waiting <= 0 else max(0.0, self._clock() - oldest_at)
        return Backlog(records=max(0, waiting), oldest_age_seconds=age)

    @property
    def start(self) -> Position:
        """The place before the oldest record that is kept."""
        return Position(self._segments[0].number, 0)

    @property
    def end(self) -> Position:
        """The place behind the newest record."""
        tail = self._tail  # one read: number and offset belong together
        return Position(tail.segment.number, tail.end)

    @property
    def size_bytes(self) -> int:
        """Bytes that count against the bound."""
        return self._size

    @property
    def has_room(self) -> bool:
        """Whether batches may still be taken: what is left of the bound is for single calls, and for holds."""
        return self._size <= ROOM_SHARE * self.max_bytes

    @property
    def trouble(self) -> str:
        """Why the last append failed; empty after a good one."""
        return self._trouble

    @property
    def recovery(self) -> Recovery:
        """What was found damaged since the journal was opened."""
        return self._quarantine.recovery

    def look(self) -> None:
        """Finds out whether what kept records out is over, where nobody may come to try: then there is no trouble."""
        if not self._trouble or not self.has_room:
            return
        path = self.directory / _PROBE
        try:
            path.write_bytes(bytes(PROBE_BYTES))
            path.unlink()
        except OSError:
            return
        self._trouble = ""

    def close(self) -> None:
        """Brings everything to the disk as far as possible, and lets another process have the directory."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._tail.finish()
                os.close(self._owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Finds the segments, repairs the last one, and begins a new one.

        Always a new one: the ledger may have been told positions behind the end that a loss of power left,
        and must never find other records there.
        """
        found = segments.listing(self.directory)
        self._ends = {segment.number: segment.path.stat().st_size for segment in found}
        number = 1
        if found:
            last = found[-1]
            number = last.number + 1
            self._ends[last.number], self._next_sequence = self._quarantine.repair(last)
            if self._ends[last.number] == 0:
                last.path.unlink()
                del found[-1], self._ends[last.number]
        self._tail = Tail(*segments.create(self.directory, number=number, first_sequence=self._next_sequence))
        self._segments = [*found, self._tail.segment]
        self._size = sum(self._ends.values()) + sum(
            path.stat().st_size for path in self.directory.glob("*.corrupt")
        )
        self._note_released(max(_recall_released(self.directory) or self.start, self.start))

    def _begin_segment(self) -> Tail:
        """Ends the tail's segment and goes on in a new one. Holds the lock."""
        old = self._tail
        number = old.segment.number + 1
        try:
            new = Tail(*segments.create(self.directory, number=number, first_sequence=self._next_sequence))
        except OSError as error:
            raise errors.JournalUnavailable(f"no new journal file in {self.directory}: {error}") from error
        self._ends[old.segment.number] = old.end
        self._segments = [*self._segments, new.segment]
        self._tail = new
        return new

    def _locate(self, position: Position) -> tuple[Segment, int, int] | None:
        """The segment, start and end of what follows a position; None where nothing does. Holds the lock."""
        for segment in self._segments:
            if segment.number < position.segment:
                continue
            start = position.offset if segment.number == position.segment else 0
            end = self._tail.end if segment is self._tail.segment else self._ends[segment.number]
            if start < end:
                return segment, start, end
        return None

    def _read_segment(
        self, segment: Segment, start: int, end: int, limit: int
    ) -> tuple[list[Entry], Position]:
        entries: list[Entry] = []
        try:
            for found in segments.walk(segment.path, start, end):
                if isinstance(found, Damage):
                    self._quarantine.keep_aside(segment, found)
                    continue
                position = Position(segment.number, found.end)
                entries.append(Entry(found.sequence, found.appended_at, found.body, position))
                if len(entries) >= limit:
                    return entries, position
        except FileNotFoundError:
            logger.error("journal_file_missing", extra={"fields": {"path": str(segment.path)}})
        except OSError as error:
            raise errors.JournalUnavailable(f"{segment.path} cannot be read: {error}") from error
        return entries, Position(segment.number, end)

    def _note_released(self, position: Position) -> Position:
        """Takes down what is released, and since when the next record waits. Holds the lock."""
        located = self._locate(position)
        if located is None:
            position = Position(self._tail.segment.number, self._tail.end)
        else:
            position = Position(located[0].number, located[1])
        following = next(self._following(position), None)
        self._released_sequence = self._next_sequence if following is None else following.sequence
        self._oldest_at = None if following is None else following.appended_at
        return position

    def _following(self, position: Position) -> Iterator[segments.Frame]:
        """The intact frames behind a position. Holds the lock."""
        while (located := self._locate(position)) is not None:
            segment, start, end = located
            with contextlib.suppress(OSError):
                for found in segments.walk(segment.path, start, end, chunk_bytes=4096):
                    if isinstance(found, segments.Frame):
                        yield found
            position = Position(segment.number, end)


def _take_ownership(directory: Path) -> int:
    """Makes the directory if needed and takes it for this process until the returned descriptor is closed.

    Raises:
        errors.SettingsRefused: another process has it, or it cannot be made.
    """
    descriptor = -1
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise errors.SettingsRefused(
            f"the journal directory {directory} is in use by another process: "
            "give each sidecar a data directory of its own"
        ) from error
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise errors.SettingsRefused(f"the journal directory {directory} cannot be used: {error}") from error
    return descriptor


def _check_format(directory: Path) -> None:
    """Notes by which format this version writes records; later versions read all lower ones.

    Raises:
        errors.SettingsRefused: a newer version wrote here, whose records this one would take for damage.
        OSError: it can be neither read nor written.
    """
    path, known = directory / _FORMAT, None
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text("ascii", errors="replace").strip()
        known = int(text) if text.isdecimal() else None
    if known is not None and known > FORMAT:
        raise errors.SettingsRefused(
            f"the journal {directory} holds records of format {known}, and this version reads up to {FORMAT}: "
            "start the version that wrote it, or a newer one"
        )
    if known != FORMAT:
        durable_file.replace(path, f"{FORMAT}\n".encode())


def _read_identity(directory: Path, *, new: Callable[[], str]) -> str:
    """The journal's own name, made once.

    A ledger notes positions under it, so that the journal in a wiped directory is not
    taken for the one that it replaced.

    Raises:
        OSError: it can be neither read nor written.
    """
    path = directory / _IDENTITY
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text("ascii", errors="replace").strip()
        if text.isalnum():
            return text
    text = new()
    durable_file.replace(path, f"{text}\n".encode())
    return text


def _remember_released(directory: Path, position: Position) -> None:
    """Notes up to where the journal is released, so that after a restart the backlog is known at once.

    It is a hint and only the ledger's own position counts, so a failure to write it is of no matter.
    """
    with contextlib.suppress(OSError):
        place = json.dumps([position.segment, position.offset]).encode()
        durable_file.replace(directory / _RELEASED, place, synced=False)


def _recall_released(directory: Path) -> Position | None:
    """What `_remember_released` noted; None where nothing readable is there."""
    try:
        segment, offset = json.loads((directory / _RELEASED).read_text("ascii"))
    except (OSError, ValueError, TypeError):
        return None
    if type(segment) is not int or type(offset) is not int:
        return None
    return Position(segment, offset)
