"""Health by the standard protocol: one name per model, `""` for all, `liveness` for the process itself."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.service.registry import SlotStatus

ALL = ""
LIVENESS = "liveness"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

Status: TypeAlias = int
"""A `HealthCheckResponse.ServingStatus`."""

LOOK_SECONDS = 5.0
"""How long a watch may sleep without a look at whether its caller is still there; it is told, as a rule."""


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers `Check`, and tells changes to `Watch`.

    A watch is a thread that sleeps, and sends by itself: nobody who sets a status waits for a reader. (grpcio's own
    servicer sends under the lock that its event thread needs to end a send.)
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._statuses: Mapping[str, Status] = {}
        self._stopped = False

    def tell(self, statuses: Mapping[str, Status]) -> None:
        """Replaces what is answered; the watches hear of it only where it differs."""
        if statuses == self._statuses:
            return
        with self._changed:
            self._statuses = dict(statuses)
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends every watch."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def Check(  # noqa: N802 (the protocol's name)
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a name that was never one."""
        status = self._statuses.get(request.service)
        if status is None:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return health_pb2.HealthCheckResponse()
        return health_pb2.HealthCheckResponse(status=status)

    def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """The status now, and each one that differs from the one before."""
        if not context.add_callback(self._wake):
            return
        said: Status | None = None
        while context.is_active() and not self._stopped:
            status = self._statuses.get(request.service, UNKNOWN)
            if status != said:
                said = status
                yield health_pb2.HealthCheckResponse(status=status)
            with self._changed:
                if self._statuses.get(request.service, UNKNOWN) == said and not self._stopped:
                    self._changed.wait(LOOK_SECONDS)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Health:
    """What `grpc.health.v1` answers. Starts as NOT_SERVING, before any port is open."""

    def __init__(self, *, ready_without_calibrator: bool) -> None:
        self.servicer = HealthServicer()
        self._ready_without_calibrator = ready_without_calibrator
        self._statuses: dict[str, Status] = {ALL: NOT_SERVING, LIVENESS: SERVING}
        self._draining = False
        self.serving = False
        self.servicer.tell(self._statuses)

    def update(self, models: Iterable[str], slots: Iterable[SlotStatus], *, records: bool = True) -> None:
        """Tells the state of every model: serving once each of its calibrators was tried for the first time.

        A model without a calibrator answers with holds, which is a defined answer; whether that counts as
        ready is a setting. A calibrator that fails later stays in force and changes nothing here. Nobody serves where
        nothing is recorded, if `records` says so.
        """
        if self._draining:
            return
        names = set(models)
        pending: set[str] = set() if records else set(names)
        for status in slots:
            uncalibrated = status.in_force is None and status.slot.source == "primary"
            if not status.attempted or (uncalibrated and not self._ready_without_calibrator):
                pending.add(status.slot.model)
        self.serving = records and not pending
        gone: dict[str, Status] = dict.fromkeys(self._statuses, UNKNOWN)
        named: dict[str, Status] = {name: NOT_SERVING if name in pending else SERVING for name in names}
        # Last, since a model of such a name must not speak for the process, or for all.
        own: dict[str, Status] = {ALL: SERVING if self.serving else NOT_SERVING, LIVENESS: SERVING}
        self._statuses = gone | named | own
        self.servicer.tell(self._statuses)

    def drain(self) -> None:
        """Says NOT_SERVING for good, so that callers go elsewhere before calls are refused."""
        self._draining = True
        self.serving = False
        # The process itself is not dead.
        left = {name: status if status == UNKNOWN else NOT_SERVING for name, status in self._statuses.items()}
        self._statuses = left | {LIVENESS: SERVING}
        self.servicer.tell(self._statuses)
