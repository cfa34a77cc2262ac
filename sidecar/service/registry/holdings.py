"""Holdings: the calibrators in force in this process, and their last known good copies on disk."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import calibrators
from calibrators import Calibrator
from sidecar.decision import records
from sidecar.service.registry import admission
from sidecar.service.registry.cache import Cached, CalibratorCache
from sidecar.service.registry.slots import CalibratorInForce, ChallengerSlot, Expectation, Slot
from sidecar.service.registry.sources import Resolved

CACHE_REFRESH_SECONDS = 60.0
"""How old the cached time of confirmation may get: by so much a restart may overstate staleness."""

OnChange = Callable[[Slot, CalibratorInForce | None], None]

_log = logging.getLogger(__name__)


class Holdings:
    """What is in force. One thread at a time may change it; any may read `current`.

    Attributes:
        current: one immutable mapping. A change assigns another one, so that whoever read this one keeps it.
    """

    def __init__(self, directory: Path, *, on_change: OnChange, clock: Callable[[], float]) -> None:
        self.current: Mapping[Slot, CalibratorInForce] = MappingProxyType({})
        self._cache = CalibratorCache(directory)
        self._cached_at: dict[Slot, float] = {}
        self._on_change = on_change
        self._clock = clock

    def prepare(self) -> None:
        """Makes the cache's directory ready.

        Raises:
            CacheUnusable: it cannot be used.
        """
        self._cache.prepare()

    def restore(self, slot: Slot, expected: Expectation) -> Resolved | None:
        """Puts in force what is cached for a slot, as stale as it is; None where nothing is cached.

        Raises:
            CacheUnusable: what is cached is damaged, or comes from another source.
            CalibratorRefused: it is not admitted any more.
        """
        cached = self._cache.read(slot, uri=expected.uri)
        if cached is None:
            return None
        resolved = Resolved(name=cached.name, version=cached.version, digest=cached.digest)
        calibrator = admission.admit(
            cached.document.encode(), slot=slot, expected=expected, resolved=resolved
        )
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

    def put(self, slot: Slot, uri: str, calibrator: Calibrator, resolved: Resolved) -> None:
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

    def confirm(self, slot: Slot) -> None:
        """Notes that the source just said that what is in force is current."""
        held = self.current[slot]
        self._assign({**self.current, slot: replace(held, confirmed_at=self._clock(), from_cache=False)})

    def withdraw(self, slot: Slot, reason: str, *, forget: bool) -> None:
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

    def save(self, slot: Slot) -> None:
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

    def _put(self, slot: Slot, newcomer: CalibratorInForce) -> None:
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

    def _assign(self, mapping: dict[Slot, CalibratorInForce]) -> None:
        self.current = MappingProxyType(mapping)


def _reference(calibrator: Calibrator, resolved: Resolved) -> records.CalibratorReference:
    return records.CalibratorReference(
        name=resolved.name, version=resolved.version, kind=calibrator.kind, digest=calibrator.digest
    )
