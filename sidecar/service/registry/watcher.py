"""The watcher: asks every source in one thread, and keeps the last good calibrator where it must."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from calibrators.errors import CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.polling import PollingThread
from sidecar.service.registry import fetch, mlflow_source, sources
from sidecar.service.registry.fetch import Fetch, SlotJudge
from sidecar.service.registry.holdings import CacheUnusable, Holdings, OnChange
from sidecar.service.registry.slots import CalibratorInForce, CalibratorSlot, Expectation, SlotStatus
from sidecar.service.registry.sources import Resolved, Source
from sidecar.service.registry.watch import Watch

RETRY_SECONDS = 1.0
"""The pause after what should not have happened."""

LONGEST_WAIT_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Trace(Protocol):
    """Told in the refresh thread, outside of any lock. What it raises is logged, and changes nothing."""

    def seen(self, uri: str, resolved: Resolved | None, source: Source) -> None:
        """A source was read: what it called current, or None where its alias names nothing."""
        ...

    def withdrawn(self, known: Resolved, source: Source) -> None:
        """What was in force was found to be revoked."""
        ...

    def refused(self, known: Resolved | None, answer: Fetch) -> None:
        """A newcomer was refused, for the first time; `known` is what stays in force."""
        ...


class _Untraced:
    def seen(self, uri: str, resolved: Resolved | None, source: Source) -> None: ...

    def withdrawn(self, known: Resolved, source: Source) -> None: ...

    def refused(self, known: Resolved | None, answer: Fetch) -> None: ...


UNTRACED: Trace = _Untraced()
"""Nobody wants to hear it."""


class RegistryWatcher:
    """Polls the source of every slot and swaps in what is admitted.

    `on_change(slot, in_force)` is called before another calibrator becomes visible, so that whoever records
    it has done so before any decision names it; if it raises, the calibrator does not go in force. With None
    it says that nothing is in force any more; that happens whatever it raises. It is called under a lock: it
    must be quick, and must not wait for another thread that uses the watcher.
    """

    def __init__(
        self,
        slots: Mapping[CalibratorSlot, Expectation],
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
            mlflow_source.open_source, registry_uri=registry_uri, scratch=directory
        )
        self._judge = judge
        self._trace = trace
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._changed = threading.Condition(threading.RLock())
        self._watches = {slot: Watch(slot, expected) for slot, expected in sorted(slots.items())}
        self._thread = PollingThread(
            "calibrator_refresh",
            self._turn,
            interval_seconds=RETRY_SECONDS,
            at_once=True,
            last=self._announce,
        )

    def current(self) -> Mapping[CalibratorSlot, CalibratorInForce]:
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
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ends the refresh thread; whether it ended within `timeout` seconds. What is in force stays so."""
        self._thread.end()
        self._announce()
        return self._thread.stop(timeout)

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
            self._thread.wake()
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

    def retarget(self, slots: Mapping[CalibratorSlot, Expectation]) -> None:
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
        self._thread.wake()

    def _continued(self, old: Watch | None, slot: CalibratorSlot, expected: Expectation) -> Watch:
        if old is None or old.expected == expected:
            return old or Watch(slot, expected)
        held = self._holdings.current.get(slot)
        if (
            held is not None
            and old.expected.uri == expected.uri
            and fetch.mismatch(held.calibrator.applies_to, slot=slot, expected=expected) is None
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
        return self._thread.is_alive() and not self._thread.stopping

    def _announce(self) -> None:
        """Wakes whoever waits for what the thread does."""
        with self._changed:
            self._changed.notify_all()

    def _turn(self) -> float:
        """Asks the source that is due, if one is; the seconds until the next one."""
        with self._changed:
            watch = min(self._watches.values(), key=lambda each: each.due, default=None)
            wait = LONGEST_WAIT_SECONDS if watch is None else watch.due - self._monotonic()
        if watch is None or wait > 0:
            return min(wait, LONGEST_WAIT_SECONDS)
        self._attempt(watch)
        return 0.0

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

    def _refresh(self, watch: Watch, known: Resolved | None, refused: Fetch | None) -> None:
        answer: Fetch | None = None
        failure: RegistryFailure | CalibratorRefused | None = None
        try:
            if watch.source is None:
                watch.source = self._open_source(watch.expected.uri)
            answer = fetch.ask(
                watch.source,
                slot=watch.slot,
                expected=watch.expected,
                known=known,
                refused=refused,
                judge=self._judge_of(watch.slot),
            )
        except (RegistryFailure, CalibratorRefused) as raised:
            failure = raised
        revoked = watch.source is not None and fetch.revoked(watch.source, known, answer, failure)
        if watch.source is not None:
            _tell(self._trace, watch, watch.source, known if revoked else None, answer, failure)
        with self._changed:
            if self._watches.get(watch.slot) is not watch:
                return  # the policy changed meanwhile: nobody wants the answer any more
            if revoked:
                self._withdraw(watch, "its version was revoked")
                if answer is not None and fetch.shifts(answer):
                    watch.request()  # there is nothing in force any more whose routing could be shifted
            if failure is not None:
                if not (watch.expected.optional and failure.code in sources.NAMES_NOTHING):
                    raise failure
                self._withdraw(watch, "its alias is gone")
            if answer is not None:
                self._accept(watch, answer)

    def _judge_of(self, slot: CalibratorSlot) -> fetch.Judge | None:
        held = self._holdings.current.get(slot)
        return None if held is None or self._judge is None else partial(self._judge, slot, held)

    def _withdraw(self, watch: Watch, reason: str) -> None:
        if watch.known is not None or watch.slot in self._holdings.current:
            watch.known = watch.refused = None
            self._holdings.withdraw(watch.slot, reason, forget=True)

    def _accept(self, watch: Watch, answer: Fetch) -> None:
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


def _tell(
    trace: Trace,
    watch: Watch,
    source: Source,
    withdrawn: Resolved | None,
    answer: Fetch | None,
    failure: RegistryFailure | CalibratorRefused | None,
) -> None:
    """Tells a trace what came of asking a source. Whatever that raises, it can do nothing to the calibrators.

    Args:
        trace: the trace.
        watch: the slot's, before it takes note of the answer.
        source: what was asked.
        withdrawn: what is about to be withdrawn, since it was revoked.
        answer: what came of it.
        failure: what it failed with, if there is no answer.
    """
    try:
        if withdrawn is not None:
            trace.withdrawn(withdrawn, source)
        if answer is not None:
            trace.seen(watch.expected.uri, answer.resolved, source)
            if answer.refusal is not None and answer is not watch.refused:
                trace.refused(watch.known, answer)
        elif failure is not None and failure.code in sources.NAMES_NOTHING:
            trace.seen(watch.expected.uri, None, source)
    except Exception:
        _log.exception("trace_failed")
