"""The live configuration: policy, calibrators, chains and suspensions as one thing, which hands out the snapshot.

The journal is told when something goes in force, before it does, so that every digest can be read back for ever.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import calibrators
from sidecar import ENGINE_VERSION, errors
from sidecar.decision.records import Artifact, InForce, Record
from sidecar.decision.suspensions import Event, Suspension
from sidecar.journal.journal import Journal
from sidecar.ledger import governance
from sidecar.ledger.queries import SIDECAR_SLOT
from sidecar.ledger.store import Ledger
from sidecar.policy.tables import ModelTable
from sidecar.policy.upkeep import Review
from sidecar.service import registry
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.fallback.connections import Connections
from sidecar.service.in_force.alias_trace import AliasTrace
from sidecar.service.in_force.brake import Brake
from sidecar.service.in_force.governance import GovernanceLog
from sidecar.service.in_force.policy_file import PolicyFile, PolicyInForce
from sidecar.service.in_force.recent_inputs import RecentInputs
from sidecar.service.recorder import Preface
from sidecar.service.registry import CalibratorInForce, CalibratorSlot, RegistryWatcher
from sidecar.service.settings import Settings


class LiveConfiguration:
    """What decides here. It has three writers: the policy file, the followers of the registry, and the brake.

    Each writer has a thread of its own; whoever decides reads all of it at once, by `snapshot`.

    Attributes:
        policy_file: the policy and the floors.
        champions: follows the calibrators that decide.
        challengers: follows what is only evaluated, in a thread of its own: no trouble with a challenger can
            keep a champion waiting.
        brake: the suspensions.
        recent: the last inputs, by which a newcomer is judged.
        recorder: the journal, behind what must stand in it before anything that decisions refer to.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        *,
        sidecar_id: str,
        journal: Journal,
        connections: Connections,
        ledger: Ledger,
        clock: Callable[[], float],
    ) -> None:
        """Puts in force what the files and the caches say; follows nothing yet.

        Args:
            settings: of the process.
            data_dir: of the sidecar; each writer keeps something of its own in it.
            sidecar_id: who records.
            journal: where everything that goes in force is recorded.
            connections: to the secondary models, which a policy names.
            ledger: what other sidecars have suspended.
            clock: seconds since the epoch.

        Raises:
            errors.PolicyRefused: there is no good policy, or no good floors file, to start with.
            errors.SuspensionsUnreadable: it is not known what is suspended.
        """
        self._sidecar_id = sidecar_id
        self._journal = journal
        self._connections = connections
        self._ledger = ledger
        self._clock = clock
        self.policy_file = PolicyFile(
            settings.policy,
            floors=settings.floors,
            clock=clock,
            on_change=self._change_policy,
            interval_seconds=settings.policy_poll_interval,
            suspended=self.suspensions,
        )
        policy = self.policy
        connections.put_in_force(connections.prepare(policy.loaded.policy.models))
        self.recorder = Preface(
            journal,
            # At the same moment, or the start would end what was read just before it.
            [*start_records(sidecar_id, now=policy.since), *policy_records(sidecar_id, policy)],
        )
        self.recorder.flush()
        self._governance = GovernanceLog(
            data_dir / "last_seen.json", sidecar_id=sidecar_id, journal=self.recorder, clock=clock
        )
        self.recent = RecentInputs(self.snapshot)
        follower = partial(
            RegistryWatcher,
            on_change=self._change_calibrator,
            poll_seconds=settings.poll_interval,
            clock=clock,
        )
        self.champions = follower(
            registry.expectations(policy.loaded.policy),
            directory=data_dir / "calibrators",
            judge=self.recent.judge,
            trace=AliasTrace(self._governance, sidecar_id=sidecar_id, clock=clock),
        )
        self.challengers = follower(
            registry.challengers(policy.loaded.policy),
            directory=data_dir / "challengers",
            trace=AliasTrace(self._governance, sidecar_id=sidecar_id, clock=clock),
        )
        self.brake = Brake(
            data_dir / "suspensions.json",
            sidecar_id=sidecar_id,
            journal=self.recorder,
            tables=self.tables,
            ledger_events=self._ledger_events,
            poll_seconds=settings.suspension_poll_interval,
            clock=clock,
            max_age_seconds=settings.suspensions_max_age,
        )
        self._governance.policy(policy)
        self.champions.load_cache()
        self.challengers.load_cache()

    @property
    def policy(self) -> PolicyInForce:
        """The policy with its floors."""
        return self.policy_file.current

    def tables(self) -> Mapping[str, ModelTable]:
        """The policy's tables, by model."""
        return self.policy.tables

    def review(self) -> Review:
        """What the policy says about the review queue."""
        return self.policy.loaded.policy.review

    def audit_grace_seconds(self) -> float:
        """How long after its week an audit period stays open."""
        return self.review().audit_grace

    def label_window_seconds(self) -> float:
        """How long after its decision a label still counts as one in time."""
        return self.policy.loaded.policy.label_window

    def suspensions(self) -> tuple[Suspension, ...]:
        """The suspensions, the newest first."""
        return self.brake.active

    def snapshot(self) -> Snapshot:
        """All of it, as one immutable value."""
        return Snapshot(
            policy=self.policy,
            calibrators=self.champions.current(),
            chains=self._connections.chains(),
            suspensions=self.brake.binding(),
        )

    def follow(self) -> None:
        """Begins to follow the registry and the policy file; the brake is started on its own, before."""
        self.champions.start()
        self.challengers.start()
        self.policy_file.start()

    def rest(self) -> None:
        """Ends what `follow` began. What is in force stays so."""
        self.policy_file.stop()
        self.challengers.stop()
        self.champions.stop()

    def close(self) -> None:
        """Records that nothing is in force here any more."""
        self._journal.append(stop_records(self._sidecar_id, now=self._clock()), durable=True)

    def _change_policy(self, changed: PolicyInForce) -> None:
        policy = changed.loaded.policy
        prepared = self._connections.prepare(policy.models)
        try:
            self._journal.append(policy_records(self._sidecar_id, changed), durable=True)
        except errors.JournalUnavailable:
            prepared.give_up()
            raise
        self._connections.put_in_force(prepared)
        self._governance.policy(changed)
        self.champions.retarget(registry.expectations(policy))
        self.challengers.retarget(registry.challengers(policy))

    def _change_calibrator(self, slot: CalibratorSlot, held: CalibratorInForce | None) -> None:
        records = calibrator_records(self._sidecar_id, slot, held, now=self._clock())
        self._journal.append(records, durable=True)

    def _ledger_events(self, held: Collection[str]) -> tuple[Event, ...]:
        if not self._ledger.check_revision():
            self._ledger.migrate()
        return self._ledger.read(governance.suspensions, held)


def policy_records(sidecar_id: str, changed: PolicyInForce) -> list[Record]:
    """The texts of the policy and of the floors, and since when each decides."""
    loaded, floors = changed.loaded, changed.floors
    records: list[Record] = [
        Artifact(digest=loaded.digest, kind="policy", body=loaded.canonical),
        InForce(sidecar_id=sidecar_id, slot="policy", digest=loaded.digest, since=changed.since),
    ]
    if floors is not None:
        records += [
            Artifact(digest=floors.digest, kind="floors", body=floors.canonical),
            InForce(sidecar_id=sidecar_id, slot="floors", digest=floors.digest, since=changed.floors_since),
        ]
    return records


def calibrator_records(
    sidecar_id: str, slot: CalibratorSlot, held: CalibratorInForce | None, *, now: float
) -> list[Record]:
    """The calibrator's document and since when it decides in a slot; with None, that nothing does any more.

    Args:
        sidecar_id: whose slot.
        slot: the slot.
        held: what goes in force there.
        now: seconds since the epoch.
    """
    if held is None:
        return [InForce(sidecar_id=sidecar_id, slot=slot.name, since=now)]
    reference = held.reference
    return [
        Artifact(digest=reference.digest, kind="calibrator", body=calibrators.dumps(held.calibrator)),
        InForce(
            sidecar_id=sidecar_id,
            slot=slot.name,
            digest=reference.digest,
            name=reference.name,
            version=reference.version,
            since=now,
        ),
    ]


def start_records(sidecar_id: str, *, now: float) -> list[Record]:
    """That the sidecar started, which ends whatever a killed process left in force."""
    return [InForce(sidecar_id=sidecar_id, slot=SIDECAR_SLOT, digest=ENGINE_VERSION, since=now)]


def stop_records(sidecar_id: str, *, now: float) -> list[Record]:
    """That the sidecar stopped, which ends everything that it had in force."""
    return [InForce(sidecar_id=sidecar_id, slot=SIDECAR_SLOT, since=now)]
