"""Segments: the files of a journal, the frames in them, and what a sudden end or a failing disk did to them.

A frame is a mark, a CRC-32, the length of the body, a sequence number, the time of the append, and the body.
The mark begins with a byte that UTF-8 never contains, and bodies are JSON: so no text that a caller sends can
pass for the start of a frame when a reader looks for the next intact one behind damaged bytes.
"""

import contextlib
import logging
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidecar import durable_file

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
MARK = b"\xffTBj"
_CHECKED = struct.Struct("<IQd")
_HEADER = struct.Struct("<4sIIQd")
HEADER_BYTES = _HEADER.size
_NAME = re.compile(r"(\d{12})-(\d{20})\.journal")


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place between two frames: the segment's number and the offset in its file. Later is greater."""

    segment: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file. Its name says its number and the sequence number of its first frame, so it has no header."""

    number: int
    first_sequence: int
    path: Path


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One intact frame.

    Attributes:
        sequence: number of the record in its journal, from 1, without gaps.
        appended_at: seconds since the epoch.
        body: the encoded record.
        end: offset of the byte behind the frame.
    """

    sequence: int
    appended_at: float
    body: bytes
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes of a segment, from `start` to `end`, that are no intact frame."""

    start: int
    end: int


def checksums(bodies: Sequence[bytes]) -> list[int]:
    """What `join_frames` needs of each body; computed apart since it takes time and needs no lock."""
    return [zlib.crc32(body) for body in bodies]


def join_frames(bodies: Sequence[bytes], sums: Sequence[int], *, sequence: int, appended_at: float) -> bytes:
    """Frames for the bodies, one after the other, numbered from `sequence`."""
    parts: list[bytes] = []
    for body, checksum in zip(bodies, sums, strict=True):
        checked = _CHECKED.pack(len(body), sequence, appended_at)
        parts.append(MARK + zlib.crc32(checked, checksum).to_bytes(4, "little") + checked)
        parts.append(body)
        sequence += 1
    return b"".join(parts)


def claimed_end(data: bytes, start: int) -> int | None:
    """Where the frame at `start` says that it ends; None where no frame starts or its header is cut off."""
    if len(data) - start < HEADER_BYTES or not data.startswith(MARK, start):
        return None
    length: int = _HEADER.unpack_from(data, start)[2]
    return start + HEADER_BYTES + length


def parse_frame(data: bytes, start: int, *, base: int = 0) -> Frame | None:
    """The whole, intact frame at `start`, or None.

    Args:
        data: bytes of a file.
        start: where the frame begins in `data`.
        base: offset of `data` in the file; the frame's `end` counts from the start of the file.
    """
    end = claimed_end(data, start)
    if end is None or end > len(data):
        return None
    _, checksum, length, sequence, appended_at = _HEADER.unpack_from(data, start)
    body = data[end - length : end]
    if zlib.crc32(data[start + 8 : start + HEADER_BYTES], zlib.crc32(body)) != checksum:
        return None
    return Frame(sequence, appended_at, body, base + end)


def resynchronise(data: bytes, start: int) -> int | None:
    """The start of the first intact frame at or after `start`, or None."""
    candidate = data.find(MARK, start)
    while candidate >= 0:
        if parse_frame(data, candidate) is not None:
            return candidate
        candidate = data.find(MARK, candidate + 1)
    return None


def listing(directory: Path) -> list[Segment]:
    """The segments in a directory, oldest first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in directory.iterdir()]
    segments = [
        Segment(number=int(match[1]), first_sequence=int(match[2]), path=path)
        for path, match in found
        if match
    ]
    return sorted(segments, key=lambda segment: segment.number)


def create(directory: Path, *, number: int, first_sequence: int) -> tuple[Segment, int]:
    """A new, empty segment that survives a loss of power, and its descriptor for appending.

    Raises:
        OSError: it cannot be made; nothing is left behind.
    """
    path = directory / f"{number:012d}-{first_sequence:020d}.journal"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fsync(descriptor)
        durable_file.sync_directory(directory)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return Segment(number=number, first_sequence=first_sequence, path=path), descriptor


def walk(path: Path, start: int, end: int, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Frame | Damage]:
    """The frames of a file between two offsets, in order; what is damaged comes as `Damage` in its place.

    Behind damaged bytes it goes on at the next frame whose checksum holds; nothing is guessed.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        base, data, at = start, b"", 0
        while base + at < end:
            frame = parse_frame(data, at, base=base)
            if frame is not None:
                at = frame.end - base
                yield frame
                continue
            claimed = claimed_end(data, at)
            wanted = max(chunk_bytes, HEADER_BYTES, 0 if claimed is None else claimed - at)
            rest = min(wanted, end - base - at)
            if len(data) - at < rest:
                base, at = base + at, 0
                data = _exactly(file.fileno(), base, rest)
                if len(data) < rest:
                    end = base + len(data)  # shorter than it was: nothing more can come
                continue
            base, at = base + at, 0
            data = _exactly(file.fileno(), base, end - base)
            intact = resynchronise(data, 1)
            at = len(data) if intact is None else intact
            yield Damage(start=base, end=base + at)


def _exactly(descriptor: int, offset: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(descriptor, size, offset)
        if not part:
            break
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found damaged since the journal was opened.

    Attributes:
        cut_bytes: of a write that never ended, at the end of the last segment. Nothing that was acknowledged.
        corrupt_regions: stretches of damaged bytes among acknowledged records, kept aside as `*.corrupt`.
        corrupt_bytes: their size.
    """

    cut_bytes: int = 0
    corrupt_regions: int = 0
    corrupt_bytes: int = 0


class Quarantine:
    """Where damaged bytes go, once each."""

    def __init__(self) -> None:
        self.recovery = Recovery()
        self._seen: set[tuple[int, int]] = set()

    def keep_aside(self, segment: Segment, damage: Damage) -> None:
        """Copies damaged bytes to a file of their own, which is never deleted, and counts them."""
        key = (segment.number, damage.start)
        if key in self._seen:
            return
        self._seen.add(key)
        size = damage.end - damage.start
        self.recovery = msgspec.structs.replace(
            self.recovery,
            corrupt_regions=self.recovery.corrupt_regions + 1,
            corrupt_bytes=self.recovery.corrupt_bytes + size,
        )
        target = segment.path.with_suffix(f".{damage.start}.corrupt")
        logger.error("journal_corrupt", extra={"fields": {"path": str(target), "bytes": size}})
        with contextlib.suppress(OSError), segment.path.open("rb") as source:
            source.seek(damage.start)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(source.read(size))

    def repair(self, segment: Segment) -> tuple[int, int]:
        """Cuts off what a sudden end left unfinished at the end of a segment.

        Returns:
            The offset behind its last intact record, and the sequence number that comes next.

        Raises:
            OSError: the file cannot be read or cut.
        """
        size, sequence = segment.path.stat().st_size, segment.first_sequence
        end, damage = 0, None
        for found in walk(segment.path, 0, size):
            if isinstance(found, Damage):
                damage = found
                continue
            if damage is not None:
                self.keep_aside(segment, damage)
            end, damage, sequence = found.end, None, found.sequence + 1
        if damage is not None:
            end = damage.start
            if not _is_unfinished(segment, damage):
                self.keep_aside(segment, damage)
            os.truncate(segment.path, end)
            self.recovery = msgspec.structs.replace(self.recovery, cut_bytes=size - end)
            logger.warning("journal_cut", extra={"fields": {"path": str(segment.path), "bytes": size - end}})
        descriptor = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return end, sequence


def _is_unfinished(segment: Segment, damage: Damage) -> bool:
    """Whether the damage is the beginning of a frame whose rest was never written."""
    with segment.path.open("rb") as file:
        file.seek(damage.start)
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        return MARK.startswith(head[: len(MARK)])
    claimed = claimed_end(head, 0)
    return claimed is not None and damage.start + claimed > damage.end
