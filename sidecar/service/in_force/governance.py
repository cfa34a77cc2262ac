"""Governance: who changed what decides here, written to the journal as soon as it is seen.

A sidecar reads the registry and its own files; it can see that something is another than before, and the tags
of the versions tell who did it and why. It never stands in the way of the change.
"""

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from sidecar import durable_file, errors
from sidecar.decision.records import Governance, GovernanceKind
from sidecar.dialect import Place
from sidecar.service.in_force.policy_file import PolicyInForce
from sidecar.service.recorder import Recorder

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"
SAME_SECONDS = 600.0
"""What many sidecars see within so long, and nobody signed, is one event."""

MOST_PENDING = 1000
MOST_TOLD = 10_000
MOST_NAME, MOST_TEXT = 256, 4096
MOST_BYTES = 1 << 20


class LastSeen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a sidecar last saw of everything that governs it, in one file: a restart sees what changed.

    Attributes:
        policy: the digest of the policy; empty: not seen yet.
        floors: the digest of the floors; empty: none.
        places: where each alias was, by `NAME@alias`.
    """

    policy: str = ""
    floors: str = ""
    places: dict[str, Place] = {}


class GovernanceLog:
    """What was last seen, and the events that follow from what is seen now. Threads may share it.

    Events that cannot be journaled wait, and go with the next one; a restart finds them again, since what was
    seen goes to the file only after what follows from it is in the journal.
    """

    def __init__(self, path: Path, *, sidecar_id: str, journal: Recorder, clock: Callable[[], float]) -> None:
        """Begins where the file says that the last life ended.

        Args:
            path: the file of this sidecar alone.
            sidecar_id: who records.
            journal: where events go.
            clock: seconds since the epoch.
        """
        self._path = path
        self._sidecar_id = sidecar_id
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._kept = read_last_seen(path)
        self._pending: deque[Governance] = deque(maxlen=MOST_PENDING)
        self._told: dict[str, None] = {}

    def place(self, subject: str) -> Place | None:
        """Where an alias was last seen; None: it never was."""
        return self._seen.places.get(subject)

    def policy(self, now_in_force: PolicyInForce) -> None:
        """Notes which policy and floors decide from now on."""
        before, events = self._seen, []
        changes: tuple[tuple[GovernanceKind, str, str, str], ...] = (
            ("POLICY_CHANGED", "policy", before.policy, now_in_force.loaded.digest),
            ("FLOORS_CHANGED", "floors", before.floors, now_in_force.floors_digest),
        )
        for kind, subject, old, new in changes:
            if before.policy and old != new:  # a first start changes nothing
                events.append(self.unsigned(kind, subject, from_=old, to=new))
        self.keep(events, policy=changes[0][3], floors=changes[1][3])

    def unsigned(
        self, kind: GovernanceKind, subject: str, *, from_: str, to: str, reason: str = ""
    ) -> Governance:
        """An event that nobody signed, and so without a time of its own: the n-th of its kind in a while."""
        period = str(int(self._clock() // SAME_SECONDS))
        number = 0
        while True:
            key = (kind, subject, from_, to, period, str(number))
            event = self.event(key, kind, subject, from_=from_, to=to, reason=reason)
            if event.event_id not in self._told:
                return event
            number += 1

    def event(
        self,
        key: tuple[str, ...],
        kind: GovernanceKind,
        subject: str,
        *,
        from_: str = "",
        to: str = "",
        by: str = UNKNOWN,
        reason: str = "",
        evidence: str = "",
        happened_at: float | None = None,
    ) -> Governance:
        """An event, seen now; equal keys mean the same event, on whichever sidecar.

        Args:
            key: what makes it this event and no other.
            kind: of the event.
            subject: what it is about.
            from_: the version or digest before.
            to: the one after.
            by: who.
            reason: why.
            evidence: on what it was based.
            happened_at: in seconds since the epoch; None: nobody wrote it down.
        """
        now = self._clock()
        return Governance(
            event_id=hashlib.sha256("\0".join(key).encode(errors="replace")).hexdigest()[:32],
            kind=kind,
            subject=subject,
            from_=from_,
            to=to,
            by=by[:MOST_NAME] or UNKNOWN,
            reason=reason[:MOST_TEXT],
            evidence=evidence[:MOST_NAME],
            happened_at=now if happened_at is None else happened_at,
            seen_at=now,
            sidecar_id=self._sidecar_id,
        )

    def keep(
        self,
        events: Sequence[Governance],
        *,
        policy: str | None = None,
        floors: str | None = None,
        places: Mapping[str, Place] = {},
    ) -> None:
        """Journals the events that are news here, and then keeps what was seen."""
        with self._lock:
            before = self._seen
            self._seen = LastSeen(
                policy=before.policy if policy is None else policy,
                floors=before.floors if floors is None else floors,
                places={**before.places, **places},
            )
            for event in events:
                if event.event_id not in self._told:
                    self._told[event.event_id] = None
                    self._pending.append(event)
                    fields = {key: value for key, value in msgspec.to_builtins(event).items() if value}
                    logger.info("governance", extra={"fields": fields})
            while len(self._told) > MOST_TOLD:
                del self._told[next(iter(self._told))]
            try:
                if self._pending:
                    self._journal.append(list(self._pending), durable=True)
                    self._pending.clear()
                if self._seen != self._kept:
                    write_last_seen(self._path, self._seen)
                    self._kept = self._seen
            except (errors.JournalUnavailable, OSError) as error:
                logger.warning("governance_not_kept", extra={"fields": {"cause": str(error)}})


_decoder: msgspec.json.Decoder[LastSeen] = msgspec.json.Decoder(LastSeen)


def read_last_seen(path: Path) -> LastSeen:
    """What the file says; nothing was seen yet where there is none, or none that can be understood."""
    try:
        with path.open("rb") as file:
            return _decoder.decode(file.read(MOST_BYTES))
    except (OSError, msgspec.DecodeError):
        return LastSeen()


def write_last_seen(path: Path, seen: LastSeen) -> None:
    """Replaces the file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    durable_file.replace(path, msgspec.json.encode(seen))
