"""The running parts of one process, for whoever reports on them."""

from dataclasses import dataclass

from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.service.fallback.connections import Connections
from sidecar.service.health import Health
from sidecar.service.in_force.brake import Brake
from sidecar.service.in_force.policy_file import PolicyFile
from sidecar.service.registry import RegistryWatcher
from sidecar.service.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a running sidecar is made of. `challengers` watches what is only evaluated, and decides nothing."""

    sidecar_id: str
    started_at: float
    policy_file: PolicyFile
    watcher: RegistryWatcher
    challengers: RegistryWatcher
    journal: Journal
    forwarder: Forwarder
    brake: Brake
    connections: Connections
    health: Health
    metrics: Metrics
