"""The tail of a journal: the one segment that is appended to, and how its bytes reach the disk."""

import logging
import os
import threading

from sidecar import errors
from sidecar.journal.segments import Segment

logger = logging.getLogger(__name__)

_sync = getattr(os, "fdatasync", os.fsync)


class Tail:
    """A segment open for appending. `write` and `finish` need the caller's lock; `make_durable` does not.

    Attributes:
        segment: the file.
        end: offset behind the last whole write.
        sealed: whether the next append must begin another segment, since this one can no longer be trusted.
    """

    def __init__(self, segment: Segment, descriptor: int) -> None:
        self.segment = segment
        self.end = 0
        self.sealed = False
        self._descriptor = descriptor
        self._synced = 0
        self._sync_lock = threading.Lock()
        self._finished = False

    def write(self, data: bytes) -> None:
        """Appends the bytes with one system call, or leaves the segment as it was.

        Raises:
            errors.JournalUnavailable: the system refused them, or the file was deleted: what is written into it then
                is gone with the process.
        """
        if os.fstat(self._descriptor).st_nlink == 0:
            self.sealed = True
            raise errors.JournalUnavailable(f"{self.segment.path} was deleted while it was open")
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):  # a nearly full disk takes a part first, and refuses the rest
                more = os.write(self._descriptor, memoryview(data)[written:])
                if more == 0:
                    raise OSError("the system takes no more bytes")
                written += more
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.end)
            except OSError:
                self.sealed = True  # what was half written stays behind the end, where nobody reads
            raise errors.JournalUnavailable(f"{self.segment.path} cannot be written: {error}") from error
        self.end += len(data)

    def make_durable(self, end: int) -> None:
        """Returns once the bytes before `end` are on the disk.

        Whoever gets the lock first syncs for all who have written by then; they find it done.

        Raises:
            errors.JournalUnavailable: the disk refused; whether the bytes are there is unknown.
        """
        if end <= self._synced:
            return
        with self._sync_lock:
            if end <= self._synced:
                return
            if self.sealed or self._finished:
                raise errors.JournalUnavailable(
                    f"the disk has refused to keep the last records of {self.segment.path}"
                )
            self._sync()

    def finish(self) -> None:
        """Brings everything to the disk as far as possible, and closes the file."""
        with self._sync_lock:
            if self._finished:
                return
            self._finished = True
            try:
                if not self.sealed and self._synced < self.end:
                    self._sync()
            except errors.JournalUnavailable:
                pass  # said in the log; whoever waits for these bytes is refused
            finally:
                os.close(self._descriptor)

    def _sync(self) -> None:
        """Syncs, once more or for the last time.

        After a failure the system may have dropped the bytes and yet say yes the next time: so a segment that
        failed is sealed and never synced again.
        """
        end = self.end
        try:
            _sync(self._descriptor)
        except OSError as error:
            self.sealed = True
            logger.error(
                "journal_sync_failed", extra={"fields": {"path": str(self.segment.path), "cause": str(error)}}
            )
            raise errors.JournalUnavailable(f"{self.segment.path} cannot be synced: {error}") from error
        self._synced = end
