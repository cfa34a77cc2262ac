"""What follows the registry: the champions that decide, the challengers beside them, and the trace of both."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.journal.journal import Journal
from sidecar.policy.model import Policy
from sidecar.service import registry
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.in_force import in_force
from sidecar.service.in_force.alias_trace import AliasTrace
from sidecar.service.in_force.governance import GovernanceLog
from sidecar.service.in_force.policy_file import PolicyInForce
from sidecar.service.in_force.recent_inputs import RecentInputs
from sidecar.service.recorder import Recorder
from sidecar.service.registry import CalibratorInForce, RegistryWatcher, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """The followers of one policy.

    Attributes:
        champions: what decides.
        challengers: what is only evaluated, in a watcher and a thread of its own: no trouble with a challenger
            can keep a champion waiting.
        recent: the last inputs, by which a newcomer is judged.
        governance: who changed what decides.
    """

    champions: RegistryWatcher
    challengers: RegistryWatcher
    recent: RecentInputs
    governance: GovernanceLog

    def load_cache(self) -> None:
        """Puts in force what the last life had."""
        self.champions.load_cache()
        self.challengers.load_cache()

    def retarget(self, changed: PolicyInForce) -> None:
        """Follows what another policy names."""
        self.governance.policy(changed)
        self.champions.retarget(registry.expectations(changed.loaded.policy))
        self.challengers.retarget(registry.challengers(changed.loaded.policy))


def prepare(
    policy: Policy,
    data_dir: Path,
    *,
    sidecar_id: str,
    journal: Journal,
    recorder: Recorder,
    snapshot: Callable[[], Snapshot],
    poll_seconds: float,
    clock: Callable[[], float],
) -> Registries:
    """The followers, none of which has done anything yet.

    Args:
        policy: names the slots.
        data_dir: of the sidecar; each follower keeps something of its own in it.
        sidecar_id: who records.
        journal: where calibrators that go in force are recorded.
        recorder: the same, behind what must stand before anything that decisions refer to.
        snapshot: what is in force.
        poll_seconds: between looks at the registry.
        clock: seconds since the epoch.
    """

    def changed(slot: Slot, held: CalibratorInForce | None) -> None:
        journal.append(in_force.calibrator(sidecar_id, slot, held, now=clock()), durable=True)

    governance = GovernanceLog(
        data_dir / "last_seen.json", sidecar_id=sidecar_id, journal=recorder, clock=clock
    )
    recent = RecentInputs(snapshot)
    watch = functools.partial(RegistryWatcher, on_change=changed, poll_seconds=poll_seconds, clock=clock)
    return Registries(
        champions=watch(
            registry.expectations(policy),
            directory=data_dir / "calibrators",
            judge=recent.judge,
            trace=AliasTrace(governance, sidecar_id=sidecar_id, clock=clock),
        ),
        challengers=watch(
            registry.challengers(policy),
            directory=data_dir / "challengers",
            trace=AliasTrace(governance, sidecar_id=sidecar_id, clock=clock),
        ),
        recent=recent,
        governance=governance,
    )
