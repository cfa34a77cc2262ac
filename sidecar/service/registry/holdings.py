"""Holdings: the calibrators in force in this process, and their last known good copies on disk."""

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import calibrators
from calibrators import Calibrator
from calibrators.errors import TruebandError
from sidecar import durable_file
from sidecar.decision.steps import CalibratorReference
from sidecar.service.registry import fetch
from sidecar.service.registry.slots import CalibratorInForce, CalibratorSlot, ChallengerSlot, Expectation
from sidecar.service.registry.sources import Resolved

CACHE_REFRESH_SECONDS = 60.0
"""How old the cached time of confirmation may get: by so much a restart may overstate staleness."""

CACHE_SCHEMA = 1
MAX_CACHED_BYTES = 4 * 1024 * 1024
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

OnChange = Callable[[CalibratorSlot, CalibratorInForce | None], None]

_log = logging.getLogger(__name__)


class Holdings:
    """What is in force. One thread at a time may change it; any may read `current`.

    Attributes:
        current: one immutable mapping. A change assigns another one, so that whoever read this one keeps it.
    """

    def __init__(self, directory: Path, *, on_change: OnChange, clock: Callable[[], float]) -> None:
        self.current: Mapping[CalibratorSlot, CalibratorInForce] = MappingProxyType({})
        self._cache = CalibratorCache(directory)
        self._cached_at: dict[CalibratorSlot, float] = {}
        self._on_change = on_change
        self._clock = clock

    def prepare(self) -> None:
        """Makes the cache's directory ready.

        Raises:
            CacheUnusable: it cannot be used.
        """
        self._cache.prepare()

    def restore(self, slot: CalibratorSlot, expected: Expectation) -> Resolved | None:
        """Puts in force what is cached for a slot, as stale as it is; None where nothing is cached.

        Raises:
            CacheUnusable: what is cached is damaged, or comes from another source.
            CalibratorRefused: it is not admitted any more.
        """
        cached = self._cache.read(slot, uri=expected.uri)
        if cached is None:
            return None
        resolved = Resolved(name=cached.name, version=cached.version, digest=cached.digest)
        calibrator = fetch.admit(cached.document.encode(), slot=slot, expected=expected, resolved=resolved)
        now = self._clock()
        self._put(
            slot,
            CalibratorInForce(
                calibrator=calibrator,
                reference=_reference(calibrator, resolved),
                uri=expected.uri,
                in_force_since=now,
                # A clock that was set back must not make it look confirmed in the future, and so never stale.
                confirmed_at=min(cached.confirmed_at, now),
                from_cache=True,
            ),
        )
        self._cached_at[slot] = cached.confirmed_at
        return resolved

    def put(self, slot: CalibratorSlot, uri: str, calibrator: Calibrator, resolved: Resolved) -> None:
        """Puts an admitted calibrator in force; one that is in force already is confirmed.

        Raises:
            Exception: `on_change` raised, and nothing has changed.
        """
        reference = _reference(calibrator, resolved)
        held = self.current.get(slot)
        if held is not None and held.reference == reference:
            self.confirm(slot)
            return
        now = self._clock()
        self._put(
            slot,
            CalibratorInForce(
                calibrator=calibrator,
                reference=reference,
                uri=uri,
                in_force_since=now,
                confirmed_at=now,
                from_cache=False,
            ),
        )
        self._cached_at.pop(slot, None)

    def confirm(self, slot: CalibratorSlot) -> None:
        """Notes that the source just said that what is in force is current."""
        held = self.current[slot]
        self._assign({**self.current, slot: replace(held, confirmed_at=self._clock(), from_cache=False)})

    def withdraw(self, slot: CalibratorSlot, reason: str, *, forget: bool) -> None:
        """Takes a slot's calibrator out of force, whatever `on_change` raises: that only ever holds more.

        Args:
            slot: the slot.
            reason: for the log.
            forget: also removes it from the cache, so that no restart brings it back.

        Raises:
            CacheUnusable: it could not be removed from the cache.
        """
        held = self.current.get(slot)
        if held is not None:
            try:
                self._on_change(slot, None)
            except Exception:
                _log.exception("calibrator_withdrawal_unrecorded", extra={"slot": slot.name})
            self._assign({key: value for key, value in self.current.items() if key != slot})
            _log.log(
                logging.INFO if isinstance(slot, ChallengerSlot) else logging.ERROR,
                "calibrator_withdrawn",
                extra={"slot": slot.name, "digest": held.reference.digest, "reason": reason},
            )
        self._cached_at.pop(slot, None)
        if forget:
            self._cache.remove(slot)

    def save(self, slot: CalibratorSlot) -> None:
        """Writes what is in force to the cache, unless that was done a moment ago.

        Raises:
            CacheUnusable: it cannot be written.
        """
        held = self.current.get(slot)
        if held is None:
            return
        cached_at = self._cached_at.get(slot)
        if cached_at is not None and abs(held.confirmed_at - cached_at) < CACHE_REFRESH_SECONDS:
            return
        self._cache.write(
            slot,
            Cached(
                uri=held.uri,
                name=held.reference.name,
                version=held.reference.version,
                digest=held.reference.digest,
                confirmed_at=held.confirmed_at,
                document=calibrators.dumps(held.calibrator),
            ),
        )
        self._cached_at[slot] = held.confirmed_at

    def _put(self, slot: CalibratorSlot, newcomer: CalibratorInForce) -> None:
        self._on_change(slot, newcomer)
        self._assign({**self.current, slot: newcomer})
        _log.info(
            "calibrator_in_force",
            extra={
                "slot": slot.name,
                "calibrator": newcomer.reference.name,
                "version": newcomer.reference.version,
                "digest": newcomer.reference.digest,
                "from_cache": newcomer.from_cache,
            },
        )

    def _assign(self, mapping: dict[CalibratorSlot, CalibratorInForce]) -> None:
        self.current = MappingProxyType(mapping)


def _reference(calibrator: Calibrator, resolved: Resolved) -> CalibratorReference:
    return CalibratorReference(
        name=resolved.name, version=resolved.version, kind=calibrator.kind, digest=calibrator.digest
    )


class CacheUnusable(TruebandError):
    """A cached calibrator cannot be read or written. Deciding goes on; a restart would need the registry."""

    code = "CACHE_UNUSABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A calibrator as it was when its source last confirmed it.

    Attributes:
        uri: the source, as in the policy.
        name: the registered model, or the file's path.
        version: its version number; empty for a file.
        digest: the calibrator's digest.
        confirmed_at: seconds since the epoch.
        document: the calibrator's document.
    """

    uri: str
    name: str
    version: str
    digest: str
    confirmed_at: float
    document: str


class CalibratorCache:
    """One file for each slot in a directory of the sidecar's own, replaced whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> Path:
        """The directory, made if needed, without what an interrupted write left behind.

        Raises:
            CacheUnusable: it cannot be made or read.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left_over in self._directory.glob("*.tmp"):
                left_over.unlink(missing_ok=True)
        except OSError as error:
            raise CacheUnusable(f"{self._directory} cannot be used: {error.strerror}") from error
        return self._directory

    def path(self, slot: CalibratorSlot) -> Path:
        """The file of a slot: readable, and distinct even for names that differ in odd characters alone."""
        exact = hashlib.sha256("\0".join(slot).encode()).hexdigest()[:16]
        readable = UNSAFE.sub("_", "-".join(filter(None, slot)))[:80]
        return self._directory / f"{readable}-{exact}.json"

    def write(self, slot: CalibratorSlot, cached: Cached) -> None:
        """Replaces the slot's file; after a crash at any point there is the old one or the new one.

        Raises:
            CacheUnusable: it cannot be written.
        """
        body = json.dumps({"schema": CACHE_SCHEMA, "slot": list(slot), **asdict(cached)}, allow_nan=False)
        text = json.dumps({"sha256": _checksum(body), "body": body})
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable_file.replace(self.path(slot), text.encode())
        except OSError as error:
            raise CacheUnusable(f"{self.path(slot)} cannot be written: {error.strerror}") from error

    def read(self, slot: CalibratorSlot, *, uri: str) -> Cached | None:
        """What is cached for a slot; None when nothing is.

        Raises:
            CacheUnusable: the file cannot be read, is not what `write` wrote, or came from another source
                than `uri`.
        """
        path = self.path(slot)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CACHED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheUnusable(f"{path} cannot be read: {error.strerror}") from error
        try:
            cached = _decode(data, slot)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CacheUnusable(f"{path} is damaged and is ignored: {error}") from error
        if cached.uri != uri:
            raise CacheUnusable(f"{path} came from {cached.uri}, not from {uri}, and is ignored")
        return cached

    def remove(self, slot: CalibratorSlot) -> None:
        """Forgets a slot.

        Raises:
            CacheUnusable: its file cannot be removed.
        """
        try:
            self.path(slot).unlink(missing_ok=True)
            durable_file.sync_directory(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CacheUnusable(f"{self.path(slot)} cannot be removed: {error.strerror}") from error


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _decode(data: bytes, slot: CalibratorSlot) -> Cached:
    if len(data) > MAX_CACHED_BYTES:
        raise ValueError(f"it is longer than {MAX_CACHED_BYTES} bytes")
    envelope = json.loads(data)
    body = envelope["body"]
    if envelope["sha256"] != _checksum(body):
        raise ValueError("its checksum is wrong")
    fields = json.loads(body)
    if fields.pop("schema") != CACHE_SCHEMA:
        raise ValueError("it is of another version of the service")
    if fields.pop("slot") != list(slot):
        raise ValueError("it belongs to another slot")
    cached = Cached(**fields)
    texts = (cached.uri, cached.name, cached.version, cached.digest, cached.document)
    if not all(isinstance(text, str) for text in texts) or not math.isfinite(cached.confirmed_at):
        raise TypeError("a field is of the wrong type")
    return cached
