"""A policy compiled for deciding: edges to bisect, floors ready made, nothing left to parse."""

import bisect
import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from calibrators.evidence import Aggregation, EvidenceKind
from sidecar.policy import categories, floors, model
from sidecar.policy.actions import Action
from sidecar.policy.fallback import StepTable, compile_chain
from sidecar.policy.floors import FloorHit


@dataclass(frozen=True, slots=True)
class Cell:
    """A band as it holds for one category."""

    name: str
    lower: float
    action: Action
    audit_rate: float
    batch_review: bool
    audit_budget: int = 0  # none, or nothing is drawn


@dataclass(frozen=True, slots=True)
class CategoryTable:
    """The bands and the floor of one category.

    `cells[i]` holds for confidences from `edges[i]` on, up to the next edge. `floor` binds whatever the
    confidence; `floored_ranges` bind from `from` to `to`. `on_lower_bound` says on which of two numbers bands
    are cut: the lower bound of the calibrated confidence, or the confidence itself.
    """

    name: str
    edges: tuple[float, ...]
    cells: tuple[Cell, ...]
    floor: FloorHit | None
    floored_ranges: tuple[tuple[float, float, FloorHit], ...]
    on_lower_bound: bool = False

    def cut_on(self, calibrated: float | None, lower_bound: float | None) -> float | None:
        """The number that bands are cut on; None where there is none."""
        return lower_bound if self.on_lower_bound else calibrated

    def reject_unproven(self, calibrated: float | None) -> bool:
        """Whether an answer whose lower bound lies in a band that rejects is not to be rejected for that."""
        return (
            self.on_lower_bound
            and calibrated is not None
            and self.cell_at(calibrated).action is not Action.REJECT
        )

    def cell_at(self, confidence: float) -> Cell:
        """The band of a number in [0, 1] (see `cut_on`): closed below, open above, the top one closed."""
        return self.cells[bisect.bisect_right(self.edges, confidence) - 1]

    def floor_at(self, calibrated: float | None, lower_bound: float | None = None) -> FloorHit | None:
        """The floor that binds at a calibrated confidence; where there is none, every range binds.

        Where bands are cut on the lower bound, a range binds if it holds either number: whichever a policy cuts
        its bands on, it cannot lead an answer out of a range.
        """
        if self.floor is not None:
            return self.floor
        for lower, upper, hit in self.floored_ranges:
            if _within(calibrated, lower, upper) or (
                self.on_lower_bound and _within(lower_bound, lower, upper)
            ):
                return hit
        return None


def _within(confidence: float | None, lower: float, upper: float) -> bool:
    return confidence is None or lower <= confidence < upper or upper == 1.0 == confidence


@dataclass(frozen=True, slots=True)
class ModelTable:
    """What the policy says about one model."""

    name: str
    observes: bool
    evidence: EvidenceKind
    aggregation: Aggregation
    criterion: str
    version_rule: str
    versions_with_own_calibrator: frozenset[str]
    class_index: MappingProxyType[str, int]
    listed: MappingProxyType[str, CategoryTable]
    unlisted: CategoryTable
    lists_categories: bool
    stale_after_seconds: float
    stale_action: Literal[Action.HOLD_FOR_REVIEW, Action.ESCALATE]
    expires_after_seconds: float
    chain: tuple[StepTable, ...] = ()
    required_context: tuple[str, ...] = ()

    @property
    def on_lower_bound(self) -> bool:
        """Whether bands are cut on the lower bound of the calibrated confidence; alike in every category."""
        return self.unlisted.on_lower_bound

    def category(self, normalised: str) -> CategoryTable:
        """What holds for a category in its normal form, listed or not."""
        return self.listed.get(normalised, self.unlisted)


def compile_policy(policy: model.Policy) -> MappingProxyType[str, ModelTable]:
    """The table of every model, by name."""
    return MappingProxyType({name: _model_table(name, entry) for name, entry in policy.models.items()})


def _model_table(name: str, entry: model.Model) -> ModelTable:
    listed = {
        category: _category_table(category, entry, section)
        for category, section in model.listed(entry).items()
    }
    for mandatory in categories.ALWAYS_MANDATORY - listed.keys():
        always = model.Category(mandatory_review=True)
        listed[mandatory] = _category_table(mandatory, entry, always)
    unlisted = _category_table("", entry, None)
    if entry.categories:
        floor = floors.unknown_category(Action(entry.unknown_category))
        unlisted = dataclasses.replace(unlisted, floor=floor)
    return ModelTable(
        name=name,
        observes=entry.mode == "observe",
        evidence=entry.evidence,
        aggregation=entry.aggregated_by(),
        criterion=entry.criterion,
        version_rule=entry.model_version,
        versions_with_own_calibrator=frozenset(entry.versions),
        class_index=MappingProxyType({label: index for index, label in enumerate(entry.classes)}),
        listed=MappingProxyType(listed),
        unlisted=unlisted,
        lists_categories=bool(entry.categories),
        stale_after_seconds=entry.stale.after,
        stale_action=entry.stale.action,
        expires_after_seconds=entry.expires_after,
        chain=compile_chain(entry.fallback),
        required_context=entry.require_context,
    )


def _category_table(name: str, entry: model.Model, category: model.Category | None) -> CategoryTable:
    bands = model.bands_of(entry, category)[::-1]
    cells = tuple(
        Cell(
            name=band.name,
            lower=float(band.from_),
            action=band.action,
            audit_rate=model.audit_rate_of(band, category),
            batch_review=band.review == "next_day",
            audit_budget=(band.audit_budget or 0) if model.audit_rate_of(band, category) > 0.0 else 0,
        )
        for band in bands
    )
    mandatory = category.mandatory_review if category is not None else False
    floor = floors.mandatory_category(name) if mandatory is True else None
    ranges: tuple[tuple[float, float, FloorHit], ...] = ()
    if not isinstance(mandatory, bool):
        ranges = tuple(
            (lower, upper, floors.mandatory_range(name, lower, upper))
            for lower, upper in ((float(item.from_), float(item.to)) for item in mandatory)
        )
    return CategoryTable(
        name=name,
        edges=tuple(cell.lower for cell in cells),
        cells=cells,
        floor=floor,
        floored_ranges=ranges,
        on_lower_bound=entry.band_on == "lower_bound",
    )
