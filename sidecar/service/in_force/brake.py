"""The brake: the suspensions in force here. They act at once, survive, and spread over the ledger."""

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from calibrators.errors import TruebandError
from sidecar import durable_file, errors
from sidecar.decision import identifiers, suspension_scope, suspensions
from sidecar.decision.suspensions import Event, Resumption, Scope, Suspension, Suspensions
from sidecar.policy.tables import ModelTable
from sidecar.service.polling import PollingThread
from sidecar.service.recorder import Recorder

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long a stop waits for a look at a ledger that does not answer."""

MOST_ACTIVE = 1000
MOST_LIFTED = 10_000
MOST_NAME_BYTES = 256
MOST_EXPLANATION_BYTES = 4096

FILE_VERSION = 1
MAX_FILE_BYTES = 16 << 20
CONFIRM_SECONDS = 60.0
"""How old the moment in the file may be before a look at an unchanged ledger writes it again."""


class Brake:
    """`active` is one immutable tuple, replaced whole: whoever decides reads it once, by `binding`.

    Attributes:
        active: the suspensions in force, as far as they are known.
        confirmed_at: when the ledger last said what is suspended, in seconds since the epoch; None: never.
        last_error: what the last look at the ledger failed with.
    """

    def __init__(
        self,
        path: Path,
        *,
        sidecar_id: str,
        journal: Recorder,
        tables: Callable[[], Mapping[str, ModelTable]],
        ledger_events: Callable[[Collection[str]], Iterable[Event]],
        poll_seconds: float,
        clock: Callable[[], float],
        max_age_seconds: float,
        new_id: Callable[[float], str] = identifiers.uuid7,
    ) -> None:
        """Puts in force what the file says.

        Args:
            path: the file of this sidecar alone; a missing one says that nothing is suspended.
            sidecar_id: who records.
            journal: where events go first.
            tables: the policy in force, by which scopes are checked.
            ledger_events: see `governance.suspensions`.
            poll_seconds: between looks at the ledger.
            clock: seconds since the epoch.
            max_age_seconds: for how long after the last good look of an earlier life the file is enough to act.
            new_id: makes ids.

        Raises:
            errors.SuspensionsUnreadable: there is a file, and it cannot be understood.
        """
        self._path = path
        self._sidecar_id = sidecar_id
        self._journal = journal
        self._tables = tables
        self._ledger_events = ledger_events
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._looked = threading.Event()
        self._thread = PollingThread("brake_look", self._follow, interval_seconds=poll_seconds, at_once=True)
        self._max_age_seconds = max_age_seconds
        self._looked_well = False
        self._known, self.confirmed_at = read_suspensions(path)
        self._kept, self._kept_moment = self._known, self.confirmed_at
        self.last_error = ""
        self.active: tuple[Suspension, ...] = self._known.active()

    @property
    def known(self) -> bool:
        """Whether it is known what is suspended: the ledger has said so, to this process or not long ago."""
        if self._looked_well:
            return True
        confirmed = self.confirmed_at
        return confirmed is not None and abs(self._clock() - confirmed) <= self._max_age_seconds

    def binding(self) -> tuple[Suspension, ...]:
        """What binds now: the suspensions in force, and everything while it is not known what is suspended."""
        return self.active if self.known else (suspensions.UNKNOWN, *self.active)

    def start(self, wait_seconds: float) -> None:
        """Begins to follow the ledger, and waits that long at most for the first look.

        A sidecar on a fresh disk learns from the ledger alone what is suspended; nothing acts before that.
        """
        for each in self.active:
            for mistake in suspension_scope.mistakes(each.scope, self._tables()):
                fields = {"suspension": each.suspension_id, "cause": str(mistake.description)}
                logger.error("suspension_binds_nothing", extra={"fields": fields})
        self._thread.start()
        self._looked.wait(wait_seconds)

    def stop(self) -> None:
        """Ends following the ledger."""
        self._thread.stop(STOP_SECONDS)

    def suspend(self, scope: Scope, *, explanation: str, suspended_by: str) -> Suspension:
        """Suspends at once what the scope covers; durable when this returns.

        Raises:
            errors.InvalidRequest: a text is missing or too long, or nothing can fall into the scope.
            errors.JournalUnavailable: nothing was recorded, and nothing changed.
            errors.SuspensionsNotKept: it is in force and in the journal, but the file cannot be written.
        """
        bad = [
            *suspension_scope.malformed(scope),
            *_text("explanation", explanation, MOST_EXPLANATION_BYTES),
            *_text("suspended_by", suspended_by, MOST_NAME_BYTES),
        ]
        scope = suspension_scope.normal(scope)
        if not bad:
            bad = [*suspension_scope.mistakes(scope, self._tables())]
        if bad:
            raise errors.InvalidRequest(tuple(bad))
        with self._lock:
            if len(self.active) >= MOST_ACTIVE:
                most = f"{MOST_ACTIVE} suspensions are in force; set a wider one in the place of many"
                raise errors.InvalidRequest((errors.Violation("scope", most),))
            now = self._clock()
            made = Suspension(
                suspension_id=self._new_id(now),
                scope=scope,
                explanation=explanation.strip(),
                suspended_by=suspended_by.strip(),
                suspended_at=now,
                sidecar_id=self._sidecar_id,
            )
            self._journal.append([made], durable=True)
            self._take([made])
            kept = self._kept is self._known
        logger.warning(
            "suspended",
            extra={"fields": {"suspension": made.suspension_id, "scope": suspensions.text(scope)}},
        )
        if not kept:
            raise errors.SuspensionsNotKept(
                f"suspension {made.suspension_id} is in force and in the journal, but {self._path} cannot be "
                "written: it would not survive a restart before the ledger has it"
            )
        return made

    def resume(self, suspension_id: str, *, explanation: str, resumed_by: str) -> Suspension:
        """Lifts the suspension of that id, and no other; durable when this returns. Gives what it was.

        Raises:
            errors.InvalidRequest: a text is missing or too long, or the id is none.
            errors.NotFound: no suspension of that id is in force here.
            errors.JournalUnavailable: nothing was recorded, and nothing changed.
            errors.SuspensionsNotKept: it is recorded as lifted, but stays in force until the file can be
                written.
        """
        bad = [
            *_text("explanation", explanation, MOST_EXPLANATION_BYTES),
            *_text("resumed_by", resumed_by, MOST_NAME_BYTES),
        ]
        if not re.fullmatch(r"[0-9a-f]{32}", suspension_id):
            bad.append(errors.Violation("suspension_id", "is 32 hexadecimal digits, as `status` shows them"))
        if bad:
            raise errors.InvalidRequest(tuple(bad))
        with self._lock:
            found = next((each for each in self.active if each.suspension_id == suspension_id), None)
            if found is None:
                raise errors.NotFound(self._not_in_force(suspension_id))
            lifted = Resumption(
                suspension_id=suspension_id,
                explanation=explanation.strip(),
                resumed_by=resumed_by.strip(),
                resumed_at=self._clock(),
                sidecar_id=self._sidecar_id,
            )
            self._journal.append([lifted], durable=True)
            self._take([lifted])
            still = found in self.active
        if still:
            raise errors.SuspensionsNotKept(
                f"the lifting of {suspension_id} is recorded, but {self._path} cannot be written: it "
                "stays in force until that works"
            )
        logger.warning("resumed", extra={"fields": {"suspension": suspension_id}})
        return found

    def look(self) -> None:
        """Takes over what the ledger has from other sidecars. A ledger that is away changes nothing."""
        held = [each.suspension_id for each in self.active]
        now, news = self._clock(), not self.known
        events = tuple(self._ledger_events(held))
        with self._lock:
            self._take(events, confirmed_at=now)
            self._looked_well = True
        if news:
            logger.info("suspensions_known", extra={"fields": {"active": len(self.active)}})

    def _take(self, events: Sequence[Event], *, confirmed_at: float | None = None) -> None:
        """Puts events in force, the file first. What is lifted and not in the file is not lifted yet."""
        known = suspensions.without_oldest_lifted(suspensions.merge(self._known, events), MOST_LIFTED)
        if confirmed_at is not None:
            self.confirmed_at = confirmed_at
        if known == self._known and self._kept is self._known and not self._moment_is_old():
            return
        self._known = known
        try:
            write_suspensions(self._path, known, confirmed_at=self.confirmed_at)
            self._kept, self._kept_moment = known, self.confirmed_at
        except OSError as error:
            # Without the moment alone, the next start waits for the ledger: nothing to say every two seconds.
            level = logging.DEBUG if known == self._kept else logging.ERROR
            logger.log(level, "suspensions_not_written", extra={"fields": {"cause": str(error)}})
        self.active = Suspensions(known.suspended, self._kept.resumed).active()

    def _moment_is_old(self) -> bool:
        if self.confirmed_at is None:
            return False
        return self._kept_moment is None or abs(self.confirmed_at - self._kept_moment) >= CONFIRM_SECONDS

    def _not_in_force(self, suspension_id: str) -> str:
        lifted = self._known.resumed.get(suspension_id)
        if lifted is not None:
            return f"{suspension_id} is not in force: {lifted.resumed_by} has lifted it"
        return (
            f"{suspension_id} is not in force here; one that was set on another sidecar arrives over the "
            "ledger within seconds"
        )

    def _follow(self) -> None:
        try:
            self.look()
            self.last_error = ""
        except TruebandError as error:
            self._say(str(error))
        except Exception:
            self._say("internal error; the log has the cause")
            raise
        finally:
            self._looked.set()

    def _say(self, cause: str) -> None:
        if cause != self.last_error:
            logger.warning("suspensions_ledger_away", extra={"fields": {"cause": cause}})
        self.last_error = cause


def _text(field: str, value: str, most: int) -> tuple[errors.Violation, ...]:
    size = len(value.encode(errors="replace"))
    if not value.strip():
        return (errors.Violation(field, "is required: who reads it later must know"),)
    if size > most:
        return (errors.Violation(field, f"has {size:,} bytes; at most {most:,}"),)
    if suspension_scope.CONTROL.search(value):
        return (errors.Violation(field, "holds a control character"),)
    return ()


class _SuspensionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    events: tuple[Event, ...]
    confirmed_at: float | None = None


def read_suspensions(path: Path) -> tuple[Suspensions, float | None]:
    """What the file says, and when the ledger last said so; nothing, and never, where there is no file.

    Raises:
        errors.SuspensionsUnreadable: there is a file, and it cannot be understood.
    """
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Suspensions(), None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(body) > MAX_FILE_BYTES:
        raise _unreadable(path, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        kept = msgspec.json.decode(body, type=_SuspensionFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    if kept.version != FILE_VERSION:
        raise _unreadable(path, f"of version {kept.version}, which another version of Trueband has written")
    return suspensions.merge(Suspensions(), kept.events), kept.confirmed_at


def write_suspensions(path: Path, known: Suspensions, *, confirmed_at: float | None = None) -> None:
    """Replaces the file; after a sudden end at any point there is the old one or the new one.

    One process writes it, one call at a time.

    Raises:
        OSError: it cannot be written.
    """
    body = msgspec.json.encode(
        _SuspensionFile(version=FILE_VERSION, events=known.events(), confirmed_at=confirmed_at)
    )
    durable_file.replace(path, body)


def _unreadable(path: Path, cause: str) -> errors.SuspensionsUnreadable:
    return errors.SuspensionsUnreadable(
        f"{path}: cannot be read ({cause}), so it is not known what is suspended, and nothing may start to "
        "act; restore the file, or move it away once a person has made sure that the ledger, or a fresh "
        "`suspend` right after the start, says the same"
    )
