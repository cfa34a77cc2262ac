"""What is in force, as one value: a swap between two steps of a request cannot be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.decision.suspensions import Suspension
from sidecar.policy.tables import ModelTable
from sidecar.service.fallback.chain import Chain
from sidecar.service.in_force.policy_file import PolicyInForce
from sidecar.service.registry import CalibratorInForce, CalibratorSlot

PRIMARY = "primary"
NO_CHAIN = Chain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a decision is made under, read once at its top.

    Attributes:
        policy: with its floors, compiled.
        calibrators: by model, version and source.
        chains: of fallback, by model; those without machine steps are missing.
        suspensions: the brake.
    """

    policy: PolicyInForce
    calibrators: Mapping[CalibratorSlot, CalibratorInForce]
    chains: Mapping[str, Chain] = field(default_factory=dict)
    suspensions: tuple[Suspension, ...] = ()

    def calibrator(self, table: ModelTable, model_version: str) -> CalibratorInForce | None:
        """What calibrates the primary model's answers: its version's own calibrator, or the model's."""
        return self.calibrators.get(slot_of(table, model_version))

    def fallback_calibrators(self, model: str) -> dict[str, CalibratorInForce]:
        """What calibrates the fallback steps of a model, by source: `rules/NAME` and `secondary`."""
        return {
            source: held
            for (name, _, source), held in self.calibrators.items()
            if name == model and source != PRIMARY
        }


def slot_of(table: ModelTable, model_version: str) -> CalibratorSlot:
    """The slot of what calibrates the primary model's answers: its version's own, or the model's."""
    return CalibratorSlot(
        table.name, model_version if model_version in table.versions_with_own_calibrator else ""
    )
