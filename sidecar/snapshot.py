"""What is in force, as one value: a swap between two steps of a request cannot be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.fallback.chain import Chain
from sidecar.policy.detectors import CompiledDetector
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable
from sidecar.registry import CalibratorInForce, Slot

PRIMARY = "primary"
NO_CHAIN = Chain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a decision is made under, read once at its top.

    Attributes:
        loaded: the policy.
        tables: compiled, by model.
        calibrators: by model, version and source.
        detectors: of content.
        chains: of fallback, by model; those without machine steps are missing.
    """

    loaded: LoadedPolicy
    tables: Mapping[str, ModelTable]
    calibrators: Mapping[Slot, CalibratorInForce]
    detectors: tuple[CompiledDetector, ...] = ()
    chains: Mapping[str, Chain] = field(default_factory=dict)

    def calibrator(self, table: ModelTable, model_version: str) -> CalibratorInForce | None:
        """What calibrates the primary model's answers: its version's own calibrator, or the model's."""
        slot = model_version if model_version in table.versions_with_own_calibrator else ""
        return self.calibrators.get(Slot(table.name, slot))

    def fallback_calibrators(self, model: str) -> dict[str, CalibratorInForce]:
        """What calibrates the fallback steps of a model, by source: `rules/NAME` and `secondary`."""
        return {
            source: held
            for (name, _, source), held in self.calibrators.items()
            if name == model and source != PRIMARY
        }
