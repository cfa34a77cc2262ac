"""What the journal is told when something goes in force, so that every digest can be read back for ever."""

import calibrators
from sidecar import ENGINE_VERSION
from sidecar.decision.records import Artifact, InForce, Record
from sidecar.ledger.queries import SIDECAR_SLOT
from sidecar.service.in_force.policy_file import PolicyInForce
from sidecar.service.registry import CalibratorInForce, Slot


def policy(sidecar_id: str, changed: PolicyInForce) -> list[Record]:
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


def calibrator(sidecar_id: str, slot: Slot, held: CalibratorInForce | None, *, now: float) -> list[Record]:
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


def started(sidecar_id: str, *, now: float) -> list[Record]:
    """That the sidecar started, which ends whatever a killed process left in force."""
    return [InForce(sidecar_id=sidecar_id, slot=SIDECAR_SLOT, digest=ENGINE_VERSION, since=now)]


def stopped(sidecar_id: str, *, now: float) -> list[Record]:
    """That the sidecar stopped, which ends everything that it had in force."""
    return [InForce(sidecar_id=sidecar_id, slot=SIDECAR_SLOT, since=now)]
