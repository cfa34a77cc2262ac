"""The policy and the floors in force: read again when their files change, kept when the change is bad."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar import errors
from sidecar.decision import proofs, suspension_scope
from sidecar.decision.suspensions import Suspension
from sidecar.policy import floors_file, loading
from sidecar.policy.detectors import CompiledDetector
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable
from sidecar.service.polling import PollingThread

logger = logging.getLogger(__name__)

MOST_NAMED = 10
"""How many cells a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """A policy that passed every check, narrowed by the floors, compiled; and since when each decides."""

    loaded: LoadedPolicy
    floors: LoadedFloors | None
    tables: Mapping[str, ModelTable]
    detectors: tuple[CompiledDetector, ...]
    since: float
    floors_since: float

    @property
    def floors_digest(self) -> str:
        """The digest of the floors; empty where there are none."""
        return "" if self.floors is None else self.floors.digest


def admit(loaded: LoadedPolicy, floors: LoadedFloors | None = None, *, since: float) -> PolicyInForce:
    """The policy under the floors, compiled and proven.

    Raises:
        errors.PolicyRefused: naming the first cells that break a promise.
    """
    given = None if floors is None else floors.floors
    tables = floors_file.merge(loaded.policy, given)
    broken = proofs.violations(tables.values())
    if broken:
        raise errors.PolicyRefused("\n".join(["the policy breaks a promise:", *broken[:MOST_NAMED]]))
    return PolicyInForce(
        loaded=loaded,
        floors=floors,
        tables=tables,
        detectors=floors_file.compiled_detectors(loaded.policy, given),
        since=since,
        floors_since=since,
    )


class PolicyFile:
    """Watches the files by content, so that the atomic swap of a ConfigMap's link is seen like any edit."""

    def __init__(
        self,
        path: Path,
        *,
        floors: Path | None = None,
        clock: Callable[[], float],
        on_change: Callable[[PolicyInForce], None],
        interval_seconds: float,
        suspended: Callable[[], Sequence[Suspension]] = tuple,
    ) -> None:
        """Reads the files once.

        Args:
            path: of the policy.
            floors: of the floors, which then must be there.
            clock: seconds since the epoch.
            on_change: told of a change before it is in force; what it raises keeps the change out.
            interval_seconds: between looks.
            suspended: the suspensions in force, none of which a change may make bind nothing.

        Raises:
            errors.PolicyRefused: there is no good policy, or no good floors file, to start with.
        """
        self._path = path
        self._floors_path = floors
        self._clock = clock
        self._on_change = on_change
        self._suspended = suspended
        self._lock = threading.Lock()
        self._last_texts = self._texts()
        self._last_suspended: Sequence[Suspension] = ()
        self._refusal = ""  # of the last texts
        self.current = admit(*self._parsed(self._last_texts), since=clock())
        self._ever: dict[str, ModelTable] = dict(self.current.tables)
        """The last table of every model that this process has had, gone or not: as strict as all before it."""
        self.last_error = ""
        if self.current.floors is not None:
            unused = floors_file.unused(self.current.tables, self.current.floors.floors)
            if unused:
                logger.warning("floors_name_unknown_models", extra={"fields": {"models": list(unused)}})
        self._thread = PollingThread("policy_watch", self.look, interval_seconds=interval_seconds)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._thread.stop()

    def look(self) -> None:
        """Takes over changed files, or keeps what is in force and says in `last_error` why."""
        with self._lock:
            try:
                texts = self._texts()
                suspended = self._suspended()
                # What was refused for a suspension's sake may be good once that is lifted.
                if texts != self._last_texts or (self._refusal and suspended != self._last_suspended):
                    self._take(texts)
                    self._last_suspended = suspended
                self.last_error = self._refusal
            except errors.TruebandError as error:
                # Neither a file that cannot be read nor a full journal says anything about the texts: they
                # are tried again at the next look.
                self._say(str(error))

    def _texts(self) -> tuple[str, str | None]:
        floors = None if self._floors_path is None else floors_file.text_of(self._floors_path)
        return loading.text_of(self._path), floors

    def _parsed(self, texts: tuple[str, str | None]) -> tuple[LoadedPolicy, LoadedFloors | None]:
        policy, floors = texts
        return loading.parse(policy, name=str(self._path)), self._parsed_floors(floors)

    def _parsed_floors(self, text: str | None) -> LoadedFloors | None:
        return None if text is None else floors_file.parse(text, name=str(self._floors_path))

    def _take(self, texts: tuple[str, str | None]) -> None:
        """Puts in force what is good of the files: both, or else the floors alone, or else the policy alone.

        One that is refused is tried again whenever a file changes, since the other may be what it waits for.
        """
        refusals: list[str] = []
        loaded, floors = self.current.loaded, self.current.floors
        try:
            loaded = loading.parse(texts[0], name=str(self._path))
        except errors.PolicyRefused as error:
            refusals.append(str(error))
        try:
            floors = self._parsed_floors(texts[1])
        except errors.PolicyRefused as error:
            refusals.append(str(error))
        for pair in ((loaded, floors), (self.current.loaded, floors), (loaded, self.current.floors)):
            if self._in_force(*pair):
                continue
            try:
                changed = self._admitted(*pair)
            except errors.PolicyRefused as error:
                if str(error) not in refusals:
                    refusals.append(str(error))
                continue
            self._on_change(changed)
            self.current = changed
            self._ever |= changed.tables
            fields = {"digest": changed.loaded.digest, "floors_digest": changed.floors_digest}
            logger.info("policy_in_force", extra={"fields": fields})
            break
        self._last_texts, self._refusal = texts, "\n".join(refusals)
        if refusals:
            self._say(self._refusal)

    def _in_force(self, loaded: LoadedPolicy, floors: LoadedFloors | None) -> bool:
        digest = "" if floors is None else floors.digest
        return (loaded.digest, digest) == (self.current.loaded.digest, self.current.floors_digest)

    def _admitted(self, loaded: LoadedPolicy, floors: LoadedFloors | None) -> PolicyInForce:
        """The pair, proven, and found to let go of nothing that only a person, or a restart, may let go of.

        A model that was away for a while comes back to what it was bound by before.

        Raises:
            errors.PolicyRefused: otherwise.
        """
        current = self.current
        changed = admit(loaded, floors, since=self._clock())
        wider = proofs.widened(self._ever, changed.tables)
        if wider:
            more = [f"and {len(wider) - MOST_NAMED} more"] if len(wider) > MOST_NAMED else []
            told = "mandatory review ends with a restart only, if a person has decided that it shall:"
            raise errors.PolicyRefused("\n".join([told, *wider[:MOST_NAMED], *more]))
        loose = suspension_scope.loosened(self._suspended(), self._ever, changed.tables)
        if loose:
            raise errors.PolicyRefused("\n".join(["resume, or suspend again, first:", *loose[:MOST_NAMED]]))
        if changed.loaded.digest == current.loaded.digest:
            changed = dataclasses.replace(changed, since=current.since)
        if changed.floors_digest == current.floors_digest:
            changed = dataclasses.replace(changed, floors_since=current.floors_since)
        return changed

    def _say(self, cause: str) -> None:
        if cause != self.last_error:
            logger.error("policy_refused", extra={"fields": {"cause": cause}})
        self.last_error = cause
