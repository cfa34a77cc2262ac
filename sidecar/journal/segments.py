"""Segments: the files of a journal, and how they are walked through."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidecar.journal import frames

CHUNK_BYTES = 1 << 20
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes of a segment, from `start` to `end`, that are no intact frame."""

    start: int
    end: int


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
        sync_directory(directory)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return Segment(number=number, first_sequence=first_sequence, path=path), descriptor


def sync_directory(directory: Path) -> None:
    """Makes the directory's entries survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def walk(
    path: Path, start: int, end: int, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[frames.Frame | Damage]:
    """The frames of a file between two offsets, in order; what is damaged comes as `Damage` in its place.

    Behind damaged bytes it goes on at the next frame whose checksum holds; nothing is guessed.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        base, data, at = start, b"", 0
        while base + at < end:
            frame = frames.parse(data, at, base=base)
            if frame is not None:
                at = frame.end - base
                yield frame
                continue
            claimed = frames.claimed_end(data, at)
            wanted = max(chunk_bytes, frames.HEADER_BYTES, 0 if claimed is None else claimed - at)
            rest = min(wanted, end - base - at)
            if len(data) - at < rest:
                base, at = base + at, 0
                data = _exactly(file.fileno(), base, rest)
                if len(data) < rest:
                    end = base + len(data)  # shorter than it was: nothing more can come
                continue
            base, at = base + at, 0
            data = _exactly(file.fileno(), base, end - base)
            intact = frames.resynchronise(data, 1)
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
