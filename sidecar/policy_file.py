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
        self._refusal = ""  # of the last text
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
                if text != self._last_text:
                    self._take(text)
                self.last_error = self._refusal
            except errors.TruebandError as error:
                # Neither a file that cannot be read nor a full journal says anything about the text: it is
                # tried again at the next look.
                self._say(str(error))

    def _take(self, text: str) -> None:
        try:
            loaded = loading.parse(text, name=str(self._path))
            changed = admit(loaded, since=self._clock())
        except errors.PolicyRefused as error:
            self._last_text, self._refusal = text, str(error)
            self._say(self._refusal)
            return
        if loaded.digest != self.current.loaded.digest:
            self._on_change(changed)
            self.current = changed
            logger.info("policy_in_force", extra={"fields": {"digest": loaded.digest}})
        self._last_text, self._refusal = text, ""

    def _say(self, cause: str) -> None:
        if cause != self.last_error:
            logger.error("policy_refused", extra={"fields": {"cause": cause}})
        self.last_error = cause

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.look()
            except Exception:
                # The watch must outlive whatever a file can contain.
                logger.exception("policy_watch_failed")
