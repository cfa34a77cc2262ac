"""The running parts of one process, for whoever reports on them."""

from dataclasses import dataclass

from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.service.fallback.connections import Connections
from sidecar.service.health import Health
from sidecar.service.in_force.live_configuration import LiveConfiguration
from sidecar.service.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a running sidecar is made of."""

    sidecar_id: str
    started_at: float
    in_force: LiveConfiguration
    journal: Journal
    forwarder: Forwarder
    connections: Connections
    health: Health
    metrics: Metrics
