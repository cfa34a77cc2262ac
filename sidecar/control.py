"""The running parts of one process, for whoever reports on them."""

from dataclasses import dataclass

from sidecar.brake import Brake
from sidecar.fallback.connections import Connections
from sidecar.health import Health
from sidecar.ledger.forwarder import Forwarder
from sidecar.ledger.journal import Journal
from sidecar.policy_file import PolicyFile
from sidecar.registry import RegistryWatcher
from sidecar.telemetry import Metrics


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
