"""Placement: the band that each labelled answer falls into under a policy's table, and whether it acts there."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import calibrators
from sidecar.policy.actions import AUTOMATIC_ACTIONS
from sidecar.policy.tables import CategoryTable, ModelTable
from training.measure.intervals import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """Where n answers go.

    Attributes:
        bands: (n,) name of the band; "" where there is no number to cut it on.
        acts: (n,) whether the band's action lets it act and no floor of its category stands in the way.
    """

    bands: npt.NDArray[np.str_]
    acts: BoolArray

    def changed(self, other: "Placement") -> BoolArray:
        """(n,) whether the two put an answer into different bands, or let it act differently."""
        return np.asarray((self.bands != other.bands) | (self.acts != other.acts))


def place(
    table: ModelTable,
    confidence: FloatArray,
    categories: npt.NDArray[np.str_] | None = None,
    calibrator: calibrators.Calibrator | None = None,
) -> Placement:
    """The bands of calibrated confidences.

    Args:
        table: of the model.
        confidence: (n,) calibrated.
        categories: (n,) in their normal form; None: no row has one.
        calibrator: carries the lower curve, where the table cuts bands on it; without one there is no number
            to cut on, and nothing acts.
    """
    numbers: FloatArray | None = confidence
    if table.on_lower_bound:
        numbers = None
        if calibrator is not None and calibrator.lower is not None:
            numbers = np.array([calibrator.bound_of(each) for each in confidence.tolist()], dtype=np.float64)
    names = np.full(confidence.shape, "", dtype=object)
    acts = np.zeros(confidence.shape, dtype=np.bool_)
    if numbers is not None:
        rows_of = {"": np.ones(confidence.shape, dtype=np.bool_)}
        if categories is not None:
            rows_of = {name: categories == name for name in np.unique(categories).tolist()}
        for name, rows in rows_of.items():
            category = table.category(name)
            names[rows], acts[rows] = _cells(category, confidence[rows], numbers[rows])
    return Placement(bands=names.astype(np.str_), acts=acts)


def _cells(
    category: CategoryTable, confidence: FloatArray, numbers: FloatArray
) -> tuple[npt.NDArray[np.object_], BoolArray]:
    position = np.searchsorted(np.asarray(category.edges), numbers, side="right") - 1
    names = np.array([cell.name for cell in category.cells], dtype=object)
    automatic = np.array([cell.action in AUTOMATIC_ACTIONS for cell in category.cells])
    acts = automatic[position]
    if category.floor is not None:
        acts &= False
    elif category.floored_ranges:
        acts &= np.array(
            [
                category.floor_at(each, number) is None
                for each, number in zip(confidence.tolist(), numbers.tolist(), strict=True)
            ],
            dtype=np.bool_,
        )
    return names[position], acts
