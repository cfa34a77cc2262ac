"""The journal, as whatever records in it sees it; and one in which some records come first."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Protocol

from sidecar import errors
from sidecar.decision.records import Record


class Recorder(Protocol):
    """Where records go."""

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        """Keeps the records, all or none; raises errors.JournalUnavailable if it cannot."""


class Preface:
    """A journal in which some records must stand before any other that is appended here.

    A full journal must not keep a service from starting: it answers that it cannot record, until there is
    room again. Then what decisions refer to goes in first, or with them.
    """

    def __init__(self, journal: Recorder, records: Sequence[Record]) -> None:
        self._journal = journal
        self._pending = tuple(records)
        self._lock = threading.Lock()

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        """Appends to the journal, all or none; see `Recorder.append`."""
        if not self._pending:
            self._journal.append(records, durable=durable)
            return
        with self._lock:
            self._journal.append([*self._pending, *records], durable=durable or bool(self._pending))
            self._pending = ()

    def flush(self) -> None:
        """Appends what is still pending, if there is room."""
        with contextlib.suppress(errors.JournalUnavailable):
            self.append((), durable=True)
