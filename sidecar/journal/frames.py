"""Frames: how one record lies in a file of the journal.

A frame is a mark, a CRC-32, the length of the body, a sequence number, the time of the append, and the body.
The mark begins with a byte that UTF-8 never contains, and bodies are JSON: so no text that a caller sends can
pass for the start of a frame when a reader looks for the next intact one behind damaged bytes.
"""

import struct
import zlib
from collections.abc import Sequence

import msgspec

MARK = b"\xffTBj"
_CHECKED = struct.Struct("<IQd")
_HEADER = struct.Struct("<4sIIQd")
HEADER_BYTES = _HEADER.size


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


def checksums(bodies: Sequence[bytes]) -> list[int]:
    """What `join` needs of each body; computed apart since it takes time and needs no lock."""
    return [zlib.crc32(body) for body in bodies]


def join(bodies: Sequence[bytes], sums: Sequence[int], *, sequence: int, appended_at: float) -> bytes:
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


def parse(data: bytes, start: int, *, base: int = 0) -> Frame | None:
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
        if parse(data, candidate) is not None:
            return candidate
        candidate = data.find(MARK, candidate + 1)
    return None
