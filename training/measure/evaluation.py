"""How good a confidence is: proper losses, binned errors with an interval, and the CORP decomposition."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure import binning, intervals, isotonic, losses
from training.measure.intervals import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The measures of one confidence on one set of labels. Losses are in nats, shares in [0, 1].

    Attributes:
        n: rows.
        n_effective: Kish's effective number of rows.
        accuracy: weighted share correct.
        log_loss: weighted mean of -ln P(what happened).
        brier: weighted mean squared error; equals mcb - dsc + unc.
        ece: expected calibration error, 15 equal-width bins.
        ece_interval: its 95 % bootstrap interval, over groups where there are groups.
        mce: the largest gap of a bin.
        ace: the plain mean gap of the bins that are not empty.
        mcb: miscalibration: what the best monotone recalibration would take off the Brier score.
        dsc: discrimination: what that recalibration gains over the base rate.
        unc: uncertainty: the base rate's Brier score.
        notes: how it was measured, where that matters.
    """

    n: int
    n_effective: float
    accuracy: float
    log_loss: float
    brier: float
    ece: float
    ece_interval: tuple[float, float]
    mce: float
    ace: float
    mcb: float
    dsc: float
    unc: float
    notes: tuple[str, ...] = ()

    def measures(self) -> dict[str, Any]:
        """The measures that differ between two confidences on the same labels, by name, ready for JSON."""
        shared = ("n", "n_effective", "accuracy", "notes")
        values = {name: value for name, value in asdict(self).items() if name not in shared}
        return {**values, "ece_interval": list(self.ece_interval)}


def evaluate(
    confidence: FloatArray,
    correct: FloatArray,
    weights: FloatArray | None = None,
    *,
    groups: npt.NDArray[Any] | None = None,
    seed: int,
    use_netcal: bool = True,
    epsilon: float = losses.EPSILON,
) -> Evaluation:
    """Measures `confidence` (n,) against `correct` (n,) of 0/1.

    ECE, MCE and ACE are netcal's where all weights are equal; netcal cannot weight, so with unequal weights
    they are this package's own, which agree with netcal's to 1e-9 on equal ones.

    Args:
        confidence: in [0, 1].
        correct: 1.0 where the answer was right.
        weights: above 0; None means equal.
        groups: keys of rows that depend on each other, for the interval.
        seed: of the bootstrap.
        use_netcal: False takes the own ones in any case, which spares importing torch (5 s, 300 MB).
        epsilon: the clipping of the log-loss.

    Raises:
        DataRefused: no rows, or a confidence that is not in [0, 1].
    """
    if confidence.size == 0 or confidence.shape != correct.shape:
        raise errors.DataRefused("there are no labelled rows to evaluate, or not one confidence for each")
    if not np.all((confidence >= 0.0) & (confidence <= 1.0)):
        raise errors.DataRefused("a confidence is outside [0, 1] or not a number")
    weights = np.ones(confidence.size) if weights is None else weights
    bins = binning.bin_rows(confidence, correct, weights)
    ece, mce, ace, notes = bins.ece, bins.mce, bins.ace, []
    if np.ptp(weights) > 1e-12 * weights.max():
        notes.append(
            "weighted; netcal cannot weight, so ece, mce and ace are computed here, by its definitions"
        )
    elif use_netcal:
        ece, mce, ace = _netcal(confidence, correct)
        notes.append("ece, mce and ace are netcal's, 15 bins")
    else:
        notes.append("ece, mce and ace by netcal's definitions, 15 bins")
    mcb, dsc, unc = corp(confidence, correct, weights)
    return Evaluation(
        n=int(confidence.size),
        n_effective=intervals.n_effective(weights),
        accuracy=float(np.average(correct, weights=weights)),
        log_loss=float(np.average(losses.log_losses(confidence, correct, epsilon), weights=weights)),
        brier=float(np.average(losses.brier_losses(confidence, correct), weights=weights)),
        ece=ece,
        ece_interval=binning.ece_interval(confidence, correct, weights, groups, seed=seed),
        mce=mce,
        ace=ace,
        mcb=mcb,
        dsc=dsc,
        unc=unc,
        notes=tuple(notes),
    )


def corp(confidence: FloatArray, correct: FloatArray, weights: FloatArray) -> tuple[float, float, float]:
    """Miscalibration, discrimination, uncertainty of the Brier score (Dimitriadis, Gneiting, Jordan 2021).

    With S the weighted Brier score, r the isotonic recalibration of the confidence on the same rows (plain
    pooling of adjacent violators, no pseudo-labels) and m the base rate: mcb = S(c) - S(r), dsc = S(m) -
    S(r), unc = S(m). All are at least 0, and S(c) = mcb - dsc + unc.
    """
    recalibrated = isotonic.pool(confidence, correct, weights).at(confidence)
    base = np.full(correct.shape, np.average(correct, weights=weights))
    score, best, constant = (
        float(np.average(losses.brier_losses(forecast, correct), weights=weights))
        for forecast in (confidence, recalibrated, base)
    )
    return max(0.0, score - best), max(0.0, constant - best), constant


def _netcal(confidence: FloatArray, correct: FloatArray) -> tuple[float, float, float]:
    # Imported here: netcal brings torch, which takes seconds and hundreds of megabytes.
    from netcal.metrics import ACE, ECE, MCE

    outcome = correct.astype(np.int64)
    ece, mce, ace = (measure(binning.BINS).measure(confidence, outcome) for measure in (ECE, MCE, ACE))
    return float(ece), float(mce), float(ace)
