"""The composition root: everything is built here, started in order, and stopped in the reverse order."""

import contextlib
import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from google.protobuf.internal import api_implementation

from sidecar import ENGINE_VERSION, durable_file, errors
from sidecar.decision import identifiers
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import database
from sidecar.ledger.store import Ledger
from sidecar.service import telemetry
from sidecar.service.api import ports
from sidecar.service.control import Control
from sidecar.service.deciding import keys
from sidecar.service.deciding.decider import Decider, QueueHealth
from sidecar.service.deciding.router import Router
from sidecar.service.fallback.connections import Connections
from sidecar.service.health import Health
from sidecar.service.in_force.live_configuration import LiveConfiguration
from sidecar.service.in_force.observer import Observer
from sidecar.service.in_force.shadow import Shadow
from sidecar.service.settings import Settings

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.2
SWITCH_SECONDS = 0.0005
NEWS_SECONDS = 0.5
OVERTIME_SECONDS = 5.0
"""How much longer than open calls and the journal may take together the end may take."""

BRAKE_SECONDS = 2.0
"""How long a start waits for the ledger to say what is suspended."""


def serve(settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
    """Runs the service until SIGTERM or SIGINT, then drains it.

    Raises:
        errors.TruebandError: it cannot start; the message says what to do.
    """
    # A thread that answers a call must not wait five milliseconds for one that works in the background.
    sys.setswitchinterval(SWITCH_SECONDS)
    stopping = threading.Event()
    with contextlib.ExitStack() as stack:
        _handle_signals(stopping, stack)
        control = _assemble(settings, clock, stack)
        _announce(settings, control)
        # What is here now stays: collections need not look at it again and again.
        gc.collect()
        gc.freeze()
        looked_at = time.monotonic()
        while not stopping.wait(WATCH_SECONDS):
            _refresh(control, settings)
            if time.monotonic() - looked_at > settings.policy_poll_interval:
                looked_at = time.monotonic()
                control.connections.refresh()
        logger.info("draining", extra={"fields": {"seconds": settings.drain_seconds}})
        _end_at_last(2 * settings.drain_seconds + OVERTIME_SECONDS)
        control.health.drain()
        # Callers and probes hear NOT_SERVING before calls are refused.
        time.sleep(min(NEWS_SECONDS, settings.drain_seconds))
    logger.info("stopped")


def _end_at_last(seconds: float) -> None:
    """Ends the process if it still runs by then: a thread that a database holds must not keep it."""

    def end() -> None:
        logger.error("stopped_in_haste", extra={"fields": {"seconds": seconds}})
        # What was answered is in the journal, as after kill -9.
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _assemble(settings: Settings, clock: Callable[[], float], stack: contextlib.ExitStack) -> Control:
    data_dir = _data_directory(settings.data_dir)
    secret_keys = keys.load(
        settings.decision_key.get_secret_value(), settings.audit_keys.get_secret_value(), data_dir
    )
    sidecar_id = _sidecar_id(data_dir, clock())
    metrics = telemetry.Metrics()
    health = Health(ready_without_calibrator=settings.ready_without_calibrator)

    journal = Journal(data_dir / "journal", max_bytes=settings.journal_max_bytes)
    stack.callback(journal.close)

    connections = Connections(clock=time.monotonic)
    stack.callback(connections.close)
    ledger = Ledger(settings.ledger(), statement_seconds=database.STATEMENT_SECONDS)
    stack.callback(ledger.close)
    forwarder = Forwarder(journal, ledger, sidecar_id=sidecar_id, clock=clock)
    in_force = LiveConfiguration(
        settings,
        data_dir,
        sidecar_id=sidecar_id,
        journal=journal,
        connections=connections,
        ledger=ledger,
        clock=clock,
    )
    shadow = Shadow(
        challengers=in_force.challengers.current,
        journal=in_force.recorder,
        metrics=metrics,
        sidecar_id=sidecar_id,
        clock=clock,
    )
    observer = Observer(
        (in_force.recent.take, shadow.take),
        metrics=metrics,
        prepare=functools.partial(in_force.recent.warm, ledger),
        flush=shadow.flush,
    )
    router = Router(
        snapshot=in_force.snapshot,
        decider=Decider(keys=secret_keys, sidecar_id=sidecar_id, metrics=metrics),
        journal=in_force.recorder,
        queue_health=functools.partial(_queue_health, forwarder),
        metrics=metrics,
        clock=clock,
        observe=observer.note,
    )
    control = Control(
        sidecar_id=sidecar_id,
        started_at=clock(),
        in_force=in_force,
        journal=journal,
        forwarder=forwarder,
        connections=connections,
        health=health,
        metrics=metrics,
    )
    # Stopped in the reverse order: no new calls, then the followers, then the rest of the journal to the
    # ledger.
    in_force.brake.start(BRAKE_SECONDS)
    stack.callback(in_force.brake.stop)
    forwarder.start()
    stack.callback(forwarder.stop, settings.drain_seconds)
    stack.callback(in_force.close)
    observer.start()
    stack.callback(observer.stop, settings.drain_seconds)
    in_force.follow()
    stack.callback(in_force.rest)
    _refresh(control, settings)
    ports.open_ports(settings, control, router, ledger, clock, stack)
    return control


def _queue_health(forwarder: Forwarder) -> QueueHealth:
    status = forwarder.status()
    return QueueHealth(away=status.away, backlog_seconds=status.backlog_age_seconds)


def _refresh(control: Control, settings: Settings) -> None:
    """Brings health and gauges up to date. Must not end the process, whatever happens."""
    try:
        statuses = control.in_force.champions.statuses()
        control.journal.look()
        records = settings.ready_without_journal or not control.journal.trouble
        control.health.update(control.in_force.tables(), statuses, records=records)
        forwarder = control.forwarder.status()
        control.metrics.backlog_records.set(forwarder.backlog_records)
        control.metrics.backlog_seconds.set(forwarder.backlog_age_seconds)
        control.metrics.ledger_refused.set(forwarder.refused_records)
        control.metrics.journal_missing.set(forwarder.missing_records)
        journal = control.journal
        control.metrics.journal_trouble.set(bool(journal.trouble))
        control.metrics.journal_used.set(journal.size_bytes / journal.max_bytes)
        recovery = journal.recovery
        control.metrics.journal_damage.labels("corrupt").set(recovery.corrupt_bytes)
        control.metrics.journal_damage.labels("cut").set(recovery.cut_bytes)
        left_alone = control.connections.left_alone()
        for model in control.connections.chains():
            control.metrics.secondary_left_alone.labels(model).set(model in left_alone)
        control.metrics.suspensions.set(len(control.in_force.suspensions()))
        for status in statuses:
            if status.in_force is not None:
                gauge = control.metrics.calibrator_confirmed.labels(
                    status.slot.model, status.slot.model_version
                )
                gauge.set(status.in_force.confirmed_at)
    except Exception:
        logger.exception("refresh_failed")


def _announce(settings: Settings, control: Control) -> None:
    fields = {
        "listen": settings.listen,
        "sidecar_id": control.sidecar_id,
        "engine_version": ENGINE_VERSION,
        "policy_digest": control.in_force.policy.loaded.digest,
        "models": list(control.in_force.tables()),
        "protobuf": api_implementation.Type(),
        "sqlite": database.sqlite_version(),
    }
    logger.info("listening", extra={"fields": fields})


def _data_directory(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.SettingsRefused(f"--data-dir {path}: {error.strerror}") from error
    mode = path.stat().st_mode
    if mode & 0o007:
        # Not refused: Kubernetes makes an emptyDir so, and whoever owns the folder may be somebody else.
        fields = {"path": str(path), "mode": f"{mode & 0o777:04o}"}
        logger.warning("data_directory_open_to_others", extra={"fields": fields})
    return path


def _sidecar_id(data_dir: Path, now: float) -> str:
    path = data_dir / "sidecar_id"
    if not path.exists():
        durable_file.replace(path, identifiers.uuid7(now).encode())
    return path.read_text(encoding="utf-8").strip()


def _handle_signals(stopping: threading.Event, stack: contextlib.ExitStack) -> None:
    def stop(signum: int, _: FrameType | None) -> None:
        if stopping.is_set():
            # The second one waits for nobody: not for open calls, not for a ledger that is away. What was
            # answered is in the journal, as after kill -9.
            os._exit(128 + signum)
        stopping.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        previous = signal.signal(signum, stop)
        stack.callback(signal.signal, signum, previous)
