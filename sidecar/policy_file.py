"""The policy in force: read from its file, read again when the file changes, kept when the change is bad."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar import errors
from sidecar.policy import checks, loading
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable, compile_policy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A policy that passed every check, compiled, and since when it decides."""

    loaded: LoadedPolicy
    tables: Mapping[str, ModelTable]
    since: float


def admit(loaded: LoadedPolicy, *, since: float) -> PolicyInForce:
    """The policy, compiled and proven.

    Raises:
        errors.PolicyRefused: naming the first cells that break a promise.
    """
    tables = compile_policy(loaded.policy)
    broken = [violation for table in tables.values() for violation in checks.violations(table)]
    if broken:
        raise errors.PolicyRefused("\n".join(["the policy breaks a promise:", *broken[:10]]))
    return PolicyInForce(loaded, tables, since)


class PolicyFile:
    """Watches one file by content, so that the atomic swap of a ConfigMap's link is seen like any edit."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        on_change: Callable[[PolicyInForce], None],
        interval_seconds: float,
    ) -> None:
        """Reads the file once.

        Raises:
            errors.PolicyRefused: there is no good policy to start with.
        """
        self._path = path
        self._clock = clock
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._last_text = loading.text_of(path)
        self.current = admit(loading.parse(self._last_text, name=str(path)), since=clock())
        self.last_error = ""
        self._thread = threading.Thread(target=self._watch, name="policy-file", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Takes over a changed file, or keeps the policy in force and says in `last_error` why."""
        with self._lock:
            try:
                text = loading.text_of(self._path)
                if text == self._last_text:
                    return
                self._last_text = text
                loaded = loading.parse(text, name=str(self._path))
                if loaded.digest != self.current.loaded.digest:
                    changed = admit(loaded, since=self._clock())
                    self._on_change(changed)
                    self.current = changed
                    logger.info("policy_in_force", extra={"fields": {"digest": loaded.digest}})
                self.last_error = ""
            except errors.TruebandError as error:
                if str(error) != self.last_error:
                    logger.error("policy_refused", extra={"fields": {"cause": str(error)}})
                self.last_error = str(error)

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.look()
            except Exception:
                # The watch must outlive whatever a file can contain.
                logger.exception("policy_watch_failed")
