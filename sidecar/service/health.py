"""Health by the standard protocol: one name per model, `""` for all, `liveness` for the process itself."""

from collections.abc import Iterable

from grpc_health.v1 import health, health_pb2

from sidecar.service.registry import SlotStatus

ALL = ""
LIVENESS = "liveness"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """What `grpc.health.v1` answers. Starts as NOT_SERVING, before any port is open."""

    def __init__(self, *, ready_without_calibrator: bool) -> None:
        self.servicer = health.HealthServicer()
        self._ready_without_calibrator = ready_without_calibrator
        self._known: set[str] = {ALL}
        self._draining = False
        self.serving = False
        self.servicer.set(ALL, NOT_SERVING)
        self.servicer.set(LIVENESS, SERVING)

    def update(self, models: Iterable[str], slots: Iterable[SlotStatus]) -> None:
        """Tells the state of every model: serving once each of its calibrators was tried for the first time.

        A model without a calibrator answers with holds, which is a defined answer; whether that counts as
        ready is a setting. A calibrator that fails later stays in force and changes nothing here.
        """
        if self._draining:
            return
        pending: set[str] = set()
        for status in slots:
            uncalibrated = status.in_force is None and status.slot.source == "primary"
            if not status.attempted or (uncalibrated and not self._ready_without_calibrator):
                pending.add(status.slot.model)
        names = set(models) - {LIVENESS}  # a model of that name must not speak for the process
        for gone in self._known - names - {ALL}:
            self.servicer.set(gone, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        for name in names:
            self.servicer.set(name, NOT_SERVING if name in pending else SERVING)
        self._known = names | {ALL}
        self.serving = not pending
        self.servicer.set(ALL, SERVING if self.serving else NOT_SERVING)

    def drain(self) -> None:
        """Says NOT_SERVING for good, so that callers go elsewhere before calls are refused."""
        self._draining = True
        self.serving = False
        # Not `enter_graceful_shutdown`, which would also say that the process itself is dead.
        for name in self._known:
            self.servicer.set(name, NOT_SERVING)
