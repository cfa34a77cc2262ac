"""The forwarder: moves the journal into the ledger, in a thread of its own.

It polls rather than being woken by every append: waking costs the request path, and a wait of a few
hundredths of a second gathers batches, which is what keeps it cheap.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from sidecar.decision import records
from sidecar.decision.records import Record
from sidecar.journal.journal import Entry, Journal
from sidecar.journal.segments import Position
from sidecar.ledger import database, intake
from sidecar.ledger.intake import Mark, Refused
from sidecar.ledger.store import Ledger

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
LONGEST_ERROR = 2000
UNHURRIED_SHARE = 0.25
HURRY_AFTER_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 2.0
LOOK_SECONDS = 0.1
"""How often it looks, while it pauses, whether the ledger has fallen behind."""

AWAY_AFTER_SECONDS = 5.0
"""A ledger that has not answered for so long is away, whatever it is doing."""


class ForwarderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ledger is behind.

    Attributes:
        backlog_records: records that the ledger does not have yet.
        backlog_age_seconds: for how long the oldest of them has waited.
        last_error: what the last attempt failed with, or how long it has taken or took, where that is long; empty
            after a good one.
        away: whether the ledger could not be reached the last time, or has not answered for some seconds.
        last_forwarded_at: when the ledger last took records, in seconds since the epoch; None: not yet.
        refused_records: records that the ledger could not take since the start, kept aside with the reason.
        missing_records: gaps in the journal's numbering since the start; each is a record that a disk lost.
    """

    backlog_records: int
    backlog_age_seconds: float
    last_error: str
    away: bool
    last_forwarded_at: float | None
    refused_records: int
    missing_records: int


class Forwarder:
    """Forwards one journal to one ledger, for ever; migrates the ledger first, once it can be reached."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        *,
        sidecar_id: str,
        batch_records: int = 250,
        poll_seconds: float = 0.05,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Takes an open journal; connects to nothing.

        Args:
            journal: what to read. The forwarder alone reads and releases it.
            ledger: where to.
            sidecar_id: the ledger keeps the position under it.
            batch_records: at most this many records in one transaction.
            poll_seconds: how long to wait when there was nothing to do.
            clock: seconds since the epoch.
            monotonic: seconds since any moment; batches are timed by it.
            jitter: a random number in [0, 1), to spread the retries of many sidecars.
        """
        self._journal = journal
        self._ledger = ledger
        self._sidecar_id = sidecar_id
        self._batch_records = batch_records
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._stopping = threading.Event()
        self._deadline = float("inf")  # of the monotonic clock; set when stopping
        self._connected = False
        self._position = Position()
        self._sequence: int | None = None
        self._last_error = ""
        self._slowness = ""
        self._asked_at: float | None = None  # since when the ledger has been asked and has not answered
        self._last_forwarded_at: float | None = None
        self._refused = 0
        self._missing = 0
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        """Begins to forward."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Forwards what is there, for at most so many seconds, and ends.

        Returns:
            Whether the ledger has everything. If not, the journal keeps it for the next start.
        """
        self._deadline = time.monotonic() + timeout
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._journal.backlog().records == 0

    def status(self) -> ForwarderStatus:
        """How far the ledger is behind, now."""
        backlog = self._journal.backlog()
        asked_at = self._asked_at
        unanswered = 0.0 if asked_at is None else self._monotonic() - asked_at
        silent = unanswered >= AWAY_AFTER_SECONDS
        silence = f"the ledger has not answered for {unanswered:.0f} s" if silent else ""
        return ForwarderStatus(
            backlog_records=backlog.records,
            backlog_age_seconds=backlog.oldest_age_seconds,
            last_error=silence or self._last_error or self._slowness,
            away=silent or bool(self._last_error),
            last_forwarded_at=self._last_forwarded_at,
            refused_records=self._refused,
            missing_records=self._missing,
        )

    def _run(self) -> None:
        failures = 0
        while True:
            stopping = self._stopping.is_set()
            try:
                began = self._asked_at = self._monotonic()
                if not self._connected:
                    self._connect()
                moved = self._forward()
                failures, self._last_error = 0, ""
                spent_seconds = self._monotonic() - began
                slow = spent_seconds >= AWAY_AFTER_SECONDS
                self._slowness = f"the ledger took {spent_seconds:.0f} s for the last batch" if slow else ""
                if moved and time.monotonic() < self._deadline:
                    self._asked_at = None
                    self._pause(spent_seconds)
                    continue
                delay = self._poll_seconds
            except Exception as error:  # the thread must outlive whatever a database or a disk comes up with
                failures += 1
                self._connected = False
                self._failed(error, failures)
                delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 20))
                delay *= 0.5 + 0.5 * self._jitter()
            self._asked_at = None
            if stopping:
                return
            self._stopping.wait(delay)

    def _pause(self, spent_seconds: float) -> None:
        """Leaves the interpreter to the request path for a while after a batch.

        Calls come first: while the ledger is only moments behind, forwarding takes a quarter of one thread's
        time. Once it is further behind, it takes what it gets, and a pause that has begun ends.
        """
        left = min(LONGEST_PAUSE_SECONDS, spent_seconds * (1.0 - UNHURRIED_SHARE) / UNHURRIED_SHARE)
        while left > 0.0 and self._journal.backlog().oldest_age_seconds <= HURRY_AFTER_SECONDS:
            if self._stopping.wait(min(left, LOOK_SECONDS)):
                return
            left -= LOOK_SECONDS

    def _failed(self, error: Exception, failures: int) -> None:
        message = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        if message != self._last_error:
            fields = {"cause": message, "failures": failures}
            logger.warning("ledger_away", extra={"fields": fields})
        self._last_error = message

    def _connect(self) -> None:
        """Finds out where to go on. The ledger's word counts: it may have committed what we saw fail."""
        self._ledger.migrate()
        mark = self._ledger.read(intake.journal_mark, self._sidecar_id, self._journal.identity)
        self._sequence = None if mark is None else mark.sequence
        self._position = self._journal.start if mark is None else Position(mark.segment, mark.offset)
        if self._position > self._journal.end:
            logger.error("ledger_ahead_of_journal", extra={"fields": {"position": repr(self._position)}})
            self._position, self._sequence = self._journal.start, None
        self._retry_refused()
        self._journal.release(self._position)
        self._connected = True

    def _retry_refused(self) -> None:
        """Takes in what an earlier version set aside and this one understands."""
        for sidecar_id, journal_id, refused in self._ledger.read(intake.records_set_aside, self._sidecar_id):
            try:
                record = records.decode(refused.body)
                self._ledger.write(intake.restore, sidecar_id, journal_id, refused.sequence, record)
            except (msgspec.DecodeError, database.RecordRefused):
                continue
            logger.info("refused_record_restored", extra={"fields": {"sequence": refused.sequence}})

    def _forward(self) -> bool:
        """Moves one batch; answers whether there was one."""
        entries, position = self._journal.read(self._position, self._batch_records)
        if not entries:
            return False
        self._note_gaps(entries)
        run: list[tuple[Entry, Record]] = []
        for entry in entries:
            try:
                run.append((entry, records.decode(entry.body)))
            except msgspec.DecodeError as error:
                self._apply(run)
                self._set_aside(entry, error)
                run = []
        self._apply(run)
        self._position = position
        self._journal.release(position)
        self._last_forwarded_at = self._clock()
        return True

    def _apply(self, run: Sequence[tuple[Entry, Record]]) -> None:
        """Applies consecutive records; halves a batch that is refused until the one to blame stands alone."""
        if not run:
            return
        try:
            self._ledger.write(
                intake.take_in_journal,
                self._sidecar_id,
                self._journal.identity,
                [record for _, record in run],
                _mark(run[-1][0]),
            )
        except database.RecordRefused as error:
            if len(run) == 1:
                self._set_aside(run[0][0], error)
                return
            middle = len(run) // 2
            self._apply(run[:middle])
            self._apply(run[middle:])

    def _set_aside(self, entry: Entry, error: Exception) -> None:
        refused = Refused(
            sequence=entry.sequence,
            body=entry.body,
            error=f"{type(error).__name__}: {error}".replace("\0", "")[:LONGEST_ERROR],
            set_aside_at=self._clock(),
        )
        self._ledger.write(intake.set_aside, self._sidecar_id, self._journal.identity, refused, _mark(entry))
        self._refused += 1
        fields = {"sequence": entry.sequence, "cause": refused.error}
        logger.error("record_refused", extra={"fields": fields})

    def _note_gaps(self, entries: Sequence[Entry]) -> None:
        """Counts records that the journal numbered and does not have any more."""
        for entry in entries:
            if self._sequence is not None and entry.sequence > self._sequence + 1:
                missing = entry.sequence - self._sequence - 1
                self._missing += missing
                fields = {"before": entry.sequence, "count": missing}
                logger.error("journal_records_missing", extra={"fields": fields})
            self._sequence = entry.sequence


def _mark(entry: Entry) -> Mark:
    return Mark(segment=entry.position.segment, offset=entry.position.offset, sequence=entry.sequence)
