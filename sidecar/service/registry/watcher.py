"""The watcher: asks every source in one thread, and keeps the last good calibrator where it must."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from calibrators.errors import CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.registry import admission, asking, locations, sources
from sidecar.service.registry.asking import Answer, SlotJudge
from sidecar.service.registry.cache import CacheUnusable
from sidecar.service.registry.holdings import Holdings, OnChange
from sidecar.service.registry.slots import CalibratorInForce, Expectation, Slot, SlotStatus
from sidecar.service.registry.sources import Resolved, Source
from sidecar.service.registry.trace import UNTRACED, Trace, tell
from sidecar.service.registry.watch import Watch

_log = logging.getLogger(__name__)


class RegistryWatcher:
    """Polls the source of every slot and swaps in what is admitted.

    `on_change(slot, in_force)` is called before another calibrator becomes visible, so that whoever records
    it has done so before any decision names it; if it raises, the calibrator does not go in force. With None
    it says that nothing is in force any more; that happens whatever it raises. It is called under a lock: it
    must be quick, and must not wait for another thread that uses the watcher.
    """

    def __init__(
        self,
        slots: Mapping[Slot, Expectation],
        *,
        directory: Path,
        on_change: OnChange,
        registry_uri: str | None = None,
        poll_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        open_source: Callable[[str], Source] | None = None,
        judge: SlotJudge | None = None,
        trace: Trace = UNTRACED,
    ) -> None:
        """A watcher that has done nothing yet.

        Args:
            slots: what to watch, as `slots.expectations` reads it from a policy.
            directory: where last known good calibrators are kept; the watcher's own.
            on_change: see above.
            registry_uri: the address of the MLflow server; None takes it from MLflow's environment variables.
            poll_seconds: the interval, give or take 20 %.
            clock: seconds since the epoch.
            monotonic: seconds of a clock that only goes forward.
            jitter: a random number in [0, 1).
            open_source: makes the source of a URI.
            judge: asked before a calibrator takes another's place; never about the first, nor about one that
                the cache restores.
            trace: told what the sources say, beside what goes in force.
        """
        self._holdings = Holdings(directory, on_change=on_change, clock=clock)
        self._open_source = open_source or partial(
            locations.open_source, registry_uri=registry_uri, scratch=directory
        )
        self._judge = judge
        self._trace = trace
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._changed = threading.Condition(threading.RLock())
        self._watches = {slot: Watch(slot, expected) for slot, expected in sorted(slots.items())}
        self._thread: threading.Thread | None = None
        self._stopping = False

    def current(self) -> Mapping[Slot, CalibratorInForce]:
        """What is in force, as one immutable mapping that no later change touches."""
        return self._holdings.current

    def statuses(self, model: str | None = None) -> tuple[SlotStatus, ...]:
        """What every slot holds and how its source fares; only one model's, if asked."""
        with self._changed:
            return tuple(
                watch.status(self._holdings.current.get(slot))
                for slot, watch in self._watches.items()
                if model is None or slot.model == model
            )

    def load_cache(self) -> None:
        """Puts the last known good calibrators in force. Quick, never fatal, and without MLflow."""
        with self._changed:
            try:
                self._holdings.prepare()
            except CacheUnusable as error:
                for watch in self._watches.values():
                    watch.fail(error, self._clock())
                return
            for watch in self._watches.values():
                self._restore(watch)

    def start(self) -> None:
        """Starts the refresh thread, which asks every source at once.

        Raises:
            RuntimeError: it was started before.
        """
        with self._changed:
            if self._thread is not None:
                raise RuntimeError("the watcher was started before")
            self._thread = threading.Thread(target=self._run, name="calibrator-refresh", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ends the refresh thread; whether it ended within `timeout` seconds. What is in force stays so."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def reload_now(self, model: str | None = None, timeout: float = 10.0) -> tuple[SlotStatus, ...]:
        """Asks the sources at once, again for what they refused, and waits until all are through.

        Args:
            model: only this model's slots; None means all.
            timeout: seconds; afterwards the statuses are given as they are.
        """
        with self._changed:
            wanted = {
                slot: watch.request()
                for slot, watch in self._watches.items()
                if model is None or slot.model == model
            }
            asked = {slot: self._watches[slot] for slot in wanted}
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: (
                    not self._running()
                    or all(
                        watch.served >= wanted[slot] or self._watches.get(slot) is not watch
                        for slot, watch in asked.items()
                    )
                ),
                timeout,
            )
            return self.statuses(model)

    def retarget(self, slots: Mapping[Slot, Expectation]) -> None:
        """Watches what another policy names.

        A slot that is gone, has another source, or holds what the new policy does not expect there, holds
        nothing from now on, until its cache serves or its own source was asked, which is done at once.
        """
        with self._changed:
            before = self._watches
            self._watches = {
                slot: self._continued(before.get(slot), slot, expected)
                for slot, expected in sorted(slots.items())
            }
            for slot in tuple(self._holdings.current):
                if slot not in self._watches or self._watches[slot].known is None:
                    self._holdings.withdraw(slot, "the policy expects another calibrator", forget=False)
            for slot, watch in self._watches.items():
                if watch is not before.get(slot) and watch.known is None:
                    self._restore(watch)
            self._changed.notify_all()

    def _continued(self, old: Watch | None, slot: Slot, expected: Expectation) -> Watch:
        if old is None or old.expected == expected:
            return old or Watch(slot, expected)
        held = self._holdings.current.get(slot)
        if (
            held is not None
            and old.expected.uri == expected.uri
            and admission.mismatch(held.calibrator.applies_to, slot=slot, expected=expected) is None
        ):
            return Watch(slot, expected, source=old.source, known=old.known, attempted=old.attempted)
        return Watch(slot, expected)

    def _restore(self, watch: Watch) -> None:
        try:
            watch.known = self._holdings.restore(watch.slot, watch.expected)
            watch.attempted = watch.known is not None
        except Exception as error:
            watch.fail(error, self._clock())

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._stopping

    def _run(self) -> None:
        while not self._stopping:
            try:
                watch = self._next()
                if watch is not None:
                    self._attempt(watch)
            except BaseException:
                # Whatever it is, a sidecar that silently stopped refreshing would be worse.
                _log.exception("calibrator_refresh_failed")
                with self._changed:
                    self._changed.wait(1.0)
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> Watch | None:
        """The watch that is due; None after waiting for one."""
        with self._changed:
            if self._stopping:
                return None
            watch = min(self._watches.values(), key=lambda each: each.due, default=None)
            wait = 60.0 if watch is None else watch.due - self._monotonic()
            if wait <= 0:
                return watch
            self._changed.wait(min(wait, 60.0))
            return None

    def _attempt(self, watch: Watch) -> None:
        with self._changed:
            requests, known = watch.requests, watch.known
            refused = watch.standing_refusal(self._monotonic())
        error: BaseException | None = None
        try:
            self._refresh(watch, known, refused)
        except BaseException as raised:
            error = raised
        with self._changed:
            watch.finish(
                error,
                served=requests,
                at=self._clock(),
                now=self._monotonic(),
                poll_seconds=self._poll_seconds,
                jitter=self._jitter(),
            )
            self._changed.notify_all()

    def _refresh(self, watch: Watch, known: Resolved | None, refused: Answer | None) -> None:
        answer: Answer | None = None
        failure: RegistryFailure | CalibratorRefused | None = None
        try:
            if watch.source is None:
                watch.source = self._open_source(watch.expected.uri)
            answer = asking.ask(
                watch.source,
                slot=watch.slot,
                expected=watch.expected,
                known=known,
                refused=refused,
                judge=self._judge_of(watch.slot),
            )
        except (RegistryFailure, CalibratorRefused) as raised:
            failure = raised
        revoked = watch.source is not None and asking.revoked(watch.source, known, answer, failure)
        if watch.source is not None:
            tell(self._trace, watch, watch.source, known if revoked else None, answer, failure)
        with self._changed:
            if self._watches.get(watch.slot) is not watch:
                return  # the policy changed meanwhile: nobody wants the answer any more
            if revoked:
                self._withdraw(watch, "its version was revoked")
                if answer is not None and asking.shifts(answer):
                    watch.request()  # there is nothing in force any more whose routing could be shifted
            if failure is not None:
                if not (watch.expected.optional and failure.code in sources.NAMES_NOTHING):
                    raise failure
                self._withdraw(watch, "its alias is gone")
            if answer is not None:
                self._accept(watch, answer)

    def _judge_of(self, slot: Slot) -> asking.Judge | None:
        held = self._holdings.current.get(slot)
        return None if held is None or self._judge is None else partial(self._judge, slot, held)

    def _withdraw(self, watch: Watch, reason: str) -> None:
        if watch.known is not None or watch.slot in self._holdings.current:
            watch.known = watch.refused = None
            self._holdings.withdraw(watch.slot, reason, forget=True)

    def _accept(self, watch: Watch, answer: Answer) -> None:
        if answer.refusal is not None:
            watch.refuse(answer, now=self._monotonic(), poll_seconds=self._poll_seconds)
            raise answer.refusal
        if answer.calibrator is not None:
            self._holdings.put(watch.slot, watch.expected.uri, answer.calibrator, answer.resolved)
            watch.known = answer.resolved
        else:
            self._holdings.confirm(watch.slot)
        watch.refused = None
        self._holdings.save(watch.slot)
