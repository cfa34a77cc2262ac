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


@dataclass(frozen=True, slots=True)
class CategoryTable:
    """The bands and the floor of one category.

    `cells[i]` holds for confidences from `edges[i]` on, up to the next edge. `floor` binds whatever the
    confidence; `floored_ranges` bind from `from` to `to`.
    """

    name: str
    edges: tuple[float, ...]
    cells: tuple[Cell, ...]
    floor: FloorHit | None
    floored_ranges: tuple[tuple[float, float, FloorHit], ...]

    def cell_at(self, confidence: float) -> Cell:
        """The band of a calibrated confidence in [0, 1]: closed below, open above, the top one closed."""
        return self.cells[bisect.bisect_right(self.edges, confidence) - 1]

    def floor_at(self, confidence: float | None) -> FloorHit | None:
        """The floor that binds at a calibrated confidence; where there is none, every range binds."""
        if self.floor is not None:
            return self.floor
        for lower, upper, hit in self.floored_ranges:
            if confidence is None or lower <= confidence < upper or (upper == 1.0 == confidence):
                return hit
        return None


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

    def category(self, normalised: str) -> CategoryTable:
        """What holds for a category in its normal form, listed or not."""
        return self.listed.get(normalised, self.unlisted)


def compile_policy(policy: model.Policy) -> MappingProxyType[str, ModelTable]:
    """The table of every model, by name."""
    return MappingProxyType({name: _model_table(name, entry) for name, entry in policy.models.items()})


def _model_table(name: str, entry: model.Model) -> ModelTable:
    listed = {
        categories.normalise(given): _category_table(categories.normalise(given), entry, category)
        for given, category in entry.categories.items()
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
    return CategoryTable(name, tuple(cell.lower for cell in cells), cells, floor, ranges)
