"""Follows the aliases of the registry: who moved each, from where to where, and who revoked what."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar import dialect
from sidecar.decision.records import Governance, GovernanceKind
from sidecar.dialect import AliasStep, Move, MoveKind, Place
from sidecar.service.in_force.governance import UNKNOWN, GovernanceLog
from sidecar.service.registry import Resolved, Source
from sidecar.service.registry.fetch import Fetch

UNFINISHED_SECONDS = 60.0
"""How long whoever moved an alias may take to say that the move is done."""

REVOCATION_LOOKS = 6
"""How often a version that a rollback has left is looked at for its mark, which follows the move."""

KINDS: Mapping[MoveKind, GovernanceKind] = {
    "publish": "PROMOTED",
    "promote": "PROMOTED",
    "retrain": "RETRAINED",
    "rollback": "ROLLED_BACK",
}

MOST_VERSIONS = 10
"""How many versions are asked about the way of an alias that moved more than once."""


@dataclass(slots=True)
class _Left:
    """A version that a rollback left, and how often its mark is still looked for."""

    name: str
    version: str
    looks: int = REVOCATION_LOOKS


class AliasTrace:
    """What the registry's tags tell of the aliases that a watcher follows; see `registry.watcher.Trace`.

    Each watcher has one of its own, which is told in that watcher's thread alone.
    """

    def __init__(self, log: GovernanceLog, *, sidecar_id: str, clock: Callable[[], float]) -> None:
        """Takes the log that keeps the events; the clock tells seconds since the epoch."""
        self._log = log
        self._sidecar_id = sidecar_id
        self._clock = clock
        self._unfinished: dict[str, float] = {}  # since when, by the key of the move
        self._left: dict[str, _Left] = {}  # by URI

    def seen(self, uri: str, resolved: Resolved | None, source: Source) -> None:
        """Follows the alias of a URI, and tells of a version that was revoked."""
        registered = dialect.registered(uri)
        if registered is not None and registered.alias:
            self._follow(registered.name, registered.alias, resolved, source)
        if resolved is not None and resolved.revoked:
            self._tell_revoked(resolved.name, resolved.version, resolved.tags)
        left = self._left.get(uri)
        if left is not None:
            tags, left.looks = source.tags(left.version), left.looks - 1
            self._tell_revoked(left.name, left.version, tags)
            if not left.looks or dialect.REVOKED_TAG in tags:
                del self._left[uri]

    def withdrawn(self, known: Resolved, source: Source) -> None:
        """Tells who revoked what was in force."""
        self._tell_revoked(known.name, known.version, source.tags(known.version))

    def refused(self, known: Resolved | None, answer: Fetch) -> None:
        """Tells that a version does not go in force here, and why. What was revoked is told as that."""
        resolved, refusal = answer.resolved, answer.refusal
        if refusal is None or resolved.revoked or not resolved.version:
            return
        before = "" if known is None else known.version
        key = ("ADMISSION_REFUSED", resolved.name, before, resolved.version, refusal.code)
        reason = f"[{refusal.code}] {refusal}"
        event = self._log.event(
            key,
            "ADMISSION_REFUSED",
            resolved.name,
            from_=before,
            to=resolved.version,
            by=f"sidecar {self._sidecar_id}",
            reason=reason,
        )
        self._log.keep([event])

    def _follow(self, name: str, alias: str, resolved: Resolved | None, source: Source) -> None:
        subject = f"{name}@{alias}"
        current = "" if resolved is None else resolved.version
        own = {} if resolved is None else dialect.moves_of(resolved.tags, alias)
        place = self._log.place(subject)
        if place is None:
            self._meet(subject, current, own)
            return
        if current == place.version and _newest(own) <= place.move:
            return
        begun = dialect.unfinished(place, current, own)
        if begun is not None:
            since = self._unfinished.setdefault(begun.key, self._clock())
            if self._clock() - since < UNFINISHED_SECONDS:
                return
            del self._unfinished[begun.key]
        known = self._known(place, current, own, alias, source)
        steps = dialect.path(place, current, known)
        note = "" if begun is None else f"{begun.by} began this move, and it was never marked as done"
        events = [self._moved(subject, step, note if step is steps[-1] else "") for step in steps]
        for step in steps:
            if step.move is not None and step.move.kind == "rollback":
                self._left[dialect.Registered(name, alias).uri] = _Left(name, step.from_version)
        reached = Place(version=current, move=max(place.move, _newest(known)))
        self._log.keep(events, places={subject: reached})

    def _meet(self, subject: str, current: str, own: Mapping[str, Move]) -> None:
        """The first sight of an alias: what led to it is told once more, in case that nobody was there.

        A sidecar may have lost its disk; the event is the same as any other sidecar's account of it.
        """
        last = own.get(_newest(own))
        led_here = last is not None and last.to_version == current
        step = AliasStep(from_version="", to_version=current, move=last)
        events = [self._moved(subject, step, "")] if led_here else []
        self._log.keep(events, places={subject: Place(version=current, move=_newest(own))})

    def _known(
        self, place: Place, current: str, own: dict[str, Move], alias: str, source: Source
    ) -> dict[str, Move]:
        """What the versions on the way tell: here, where it was, and those that their moves name, either way."""
        begin = [move.from_version for key, move in own.items() if key > place.move and move.done]
        accounts: dict[str, dict[str, Move]] = {current: own}
        wanted = [place.version, *begin]
        while wanted and len(accounts) <= MOST_VERSIONS:
            version = wanted.pop(0)
            if version not in accounts:
                accounts[version] = dialect.moves_of(source.tags(version), alias) if version else {}
                news = [move for key, move in accounts[version].items() if key > place.move and move.done]
                wanted += [end for move in news for end in (move.from_version, move.to_version)]
        return dialect.merged(accounts.values())

    def _moved(self, subject: str, step: AliasStep, note: str) -> Governance:
        move = step.move
        if move is None and step.before:  # known from the move after it, whichever sidecar looks
            return self._log.event(
                ("MOVED_BY_HAND", subject, step.from_version, step.to_version, step.before),
                "MOVED_BY_HAND",
                subject,
                from_=step.from_version,
                to=step.to_version,
            )
        if move is None:
            return self._log.unsigned(
                "MOVED_BY_HAND", subject, from_=step.from_version, to=step.to_version, reason=note
            )
        return self._log.event(
            ("MOVE", subject, move.key),
            KINDS[move.kind],
            subject,
            from_=move.from_version,
            to=move.to_version,
            by=move.by,
            reason=move.reason,
            evidence=move.evidence,
            happened_at=move.at,
        )

    def _tell_revoked(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        mark = tags.get(dialect.REVOKED_TAG)
        if mark is None:
            return
        by, reason = _signed(mark)
        self._log.keep(
            [
                self._log.event(
                    ("REVOKED", name, version, mark), "REVOKED", name, to=version, by=by, reason=reason
                )
            ]
        )


def _newest(moves: Mapping[str, Move]) -> str:
    return max((key for key, move in moves.items() if move.done), default="")


def _signed(mark: str) -> tuple[str, str]:
    """Who revoked, and why, as far as the tag says so."""
    try:
        fields = json.loads(mark[: dialect.MOST_BYTES])
        by, reason = fields["by"], fields["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return UNKNOWN, mark
    return (by, reason) if isinstance(by, str) and isinstance(reason, str) else (UNKNOWN, mark)
