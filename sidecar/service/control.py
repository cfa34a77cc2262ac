"""The running parts of one process, for whoever reports on them."""

from dataclasses import dataclass

from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.service.fallback.connections import Connections
from sidecar.service.health import Health
from sidecar.service.in_force.in_force import AllInForce
from sidecar.service.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a running sidecar is made of."""

    sidecar_id: str
    started_at: float
    in_force: AllInForce
    journal: Journal
    forwarder: Forwarder
    connections: Connections
    health: Health
    metrics: Metrics
