"""What cut-offs are made from: labels that the calibrator never saw, and the confidences of all decisions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np

import calibrators
from sidecar.policy.model import Model
from training import errors
from training.cut_offs.scope import Scope
from training.cut_offs.thinning import Sample
from training.data.dataset import Dataset
from training.fit import fitting, selection
from training.measure.intervals import FloatArray

FIT_SHARE = 0.5
"""Of a file's rows, that fit where there is no calibrator yet; the others certify."""

DEFAULTS = Model(calibrator="file:none", evidence="score")
"""A model of a policy that says nothing but what it must."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What there is to decide with.

    Attributes:
        sample: the labels that certify.
        confidence: (m,) of all decisions that the bands decide, labelled or not.
        weights: (m,) how many decisions each stands for.
        calibrator: behind the confidences.
        lowest: no cut-off below it can be judged.
        notes: what a reader should know.
        left_out: labels that do not count, by reason.
        elsewhere: share of all decisions that these bands do not decide.
    """

    sample: Sample
    confidence: FloatArray
    weights: FloatArray
    calibrator: calibrators.Calibrator
    lowest: Decimal
    notes: tuple[str, ...]
    left_out: Mapping[str, int]
    elsewhere: float


def from_dataset(
    dataset: Dataset,
    calibrator: calibrators.Calibrator | None,
    *,
    entry: Model | None = None,
    seed: int = 0,
) -> Material:
    """The material in a labelled file.

    Where the rows have categories, those of categories that the bands do not decide are left out.

    With a calibrator every row certifies. Without one the earlier half of the rows fits it (without times: a
    seeded half), whole groups together, and the other half certifies.

    Args:
        dataset: the rows; their weights are inverse probabilities of being labelled.
        calibrator: that was fitted to something else; None: fit one.
        entry: the model's section of the policy; None: one of defaults alone.
        seed: of the division, the fit's folds and the thinning.

    Raises:
        RequestRefused: the calibrator was fitted to these very rows, or bands are cut on a lower curve that
            it does not have.
        NotEnoughLabels: the rows are one moment or one group, so that they cannot be divided, or the bands
            decide none of them.
    """
    entry = entry or DEFAULTS
    notes = []
    if calibrator is not None and calibrator.fit and calibrator.fit.data_digest == dataset.digest:
        raise errors.RequestRefused(
            "the calibrator was fitted to these very labels, which cannot certify it: take others, or leave "
            "--calibrator out to divide the file"
        )
    dataset, left_out, elsewhere = _decided(dataset, entry)
    if calibrator is None:
        fit_on, dataset, how = _divided(dataset, seed)
        chosen = selection.select(fit_on, seed=seed)
        calibrator = fitting.calibrator(chosen.fitted, fit_on, note=f"fitted to certify cut-offs; {how}")
        notes.append(f"no --calibrator: {calibrator.kind} was fitted to {how}, the other rows certify")
    elif calibrator.fit is not None:
        overlap = _overlap(dataset, calibrator.fit)
        if overlap:
            notes.append(
                f"{overlap} rows are no later than the last one that the calibrator was fitted to: if they are "
                "the same, nothing here holds"
            )
    confidence = dataset.confidence(calibrator)
    if entry.band_on == "lower_bound":
        confidence = _bounds(calibrator, confidence)
    sample = Sample.of(
        confidence, dataset.correct, propensity=1.0 / dataset.weights, groups=dataset.groups, seed=seed
    )
    return Material(
        sample=sample,
        confidence=confidence,
        weights=dataset.weights,
        calibrator=calibrator,
        lowest=Decimal(0),
        notes=tuple(notes),
        left_out=left_out | _one_a_group(sample),
        elsewhere=elsewhere,
    )


def fit_end(calibrator: calibrators.Calibrator) -> float:
    """Decisions from this moment on, in seconds since the epoch, were not fitted to.

    Raises:
        RequestRefused: the calibrator was fitted, and does not say when its labels end.
    """
    if calibrator.fit is None:
        return 0.0  # written by hand: no label had a part in it
    if calibrator.fit.window_to is None:
        raise errors.RequestRefused(
            f"the calibrator {calibrator.digest} does not say up to when it was fitted, so no label is known to be "
            "new to it: fit it with times (--time-column), or retrain"
        )
    # The window is written in whole seconds, rounded down.
    return datetime.fromisoformat(calibrator.fit.window_to).timestamp() + 1.0


def _decided(dataset: Dataset, entry: Model) -> tuple[Dataset, dict[str, int], float]:
    """The rows that the bands decide, the others by reason, and their share."""
    if dataset.categories is None:
        return dataset, {}, 0.0
    reasons = Scope.of(entry).reasons(dataset.categories)
    inside = reasons == ""
    if not inside.any():
        raise errors.NotEnoughLabels(
            "the bands decide none of the rows, for their categories have it otherwise"
        )
    share = float(dataset.weights[~inside].sum() / dataset.weights.sum())
    return dataset.take(inside), dict(Counter(reasons[~inside].tolist())), share


def _one_a_group(sample: Sample) -> dict[str, int]:
    return {"beyond the one that each group may have": sample.dropped} if sample.dropped else {}


def _overlap(dataset: Dataset, fit: calibrators.Fit) -> int:
    if dataset.times is None or fit.window_to is None:
        return 0
    return int((dataset.times <= datetime.fromisoformat(fit.window_to).timestamp()).sum())


def _bounds(calibrator: calibrators.Calibrator, confidence: FloatArray) -> FloatArray:
    if calibrator.lower is None:
        raise errors.RequestRefused(
            "the policy cuts bands on the lower bound, and the calibrator has no lower curve: name one that does "
            "with --calibrator"
        )
    return np.array([calibrator.bound_of(float(value)) for value in confidence], dtype=np.float64)


def _divided(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset, str]:
    """The rows that fit, those that certify, and the former in words; no group is on both sides."""
    codes = np.arange(len(dataset))
    if dataset.groups is not None:
        codes = np.unique(dataset.groups, return_inverse=True)[1]
    if dataset.times is None:
        units = int(codes.max()) + 1
        order = np.random.default_rng(seed).permutation(units)
        earlier = np.isin(codes, order[: round(units * FIT_SHARE)])
        how = "a random half of them" if dataset.groups is None else "a random half of the groups"
        later = ~earlier
    else:
        edge = float(np.quantile(dataset.times, FIT_SHARE, method="lower"))
        earlier = dataset.times <= edge
        later = ~earlier & ~np.isin(codes, codes[earlier])
        how = "the earlier half of them"
    if not earlier.any() or not later.any():
        raise errors.NotEnoughLabels(
            "the rows cannot be divided into some that fit and some that certify, for they are of one moment or "
            "share their groups: fit a calibrator to other labels and name it with --calibrator"
        )
    return dataset.take(earlier), dataset.take(later), how
