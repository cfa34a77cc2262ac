"""What a sudden end or a failing disk did to a journal: cut off, kept aside, counted, and said."""

import contextlib
import logging
import os

import msgspec

from sidecar.journal import frames
from sidecar.journal.segments import Damage, Segment, walk

logger = logging.getLogger(__name__)


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
        head = file.read(frames.HEADER_BYTES)
    if len(head) < frames.HEADER_BYTES:
        return frames.MARK.startswith(head[: len(frames.MARK)])
    claimed = frames.claimed_end(head, 0)
    return claimed is not None and damage.start + claimed > damage.end
