"""A sample: labels that were drawn with known probabilities, and the strata that they were drawn from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training import errors
from training.measure.intervals import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Labels, and how many decisions each stratum has, labelled or not.

    Attributes:
        stratum: (n,) the stratum of each label, a position in `sizes`.
        correct: (n,) 1.0 where the answer was right, else 0.0.
        propensity: (n,) with which probability the decision came to be labelled, in (0, 1].
        sizes: (h,) the exact number of decisions of each stratum.
        groups: (n,) keys of decisions that depend on each other; None: none do.

    Raises:
        DataRefused: the arrays do not fit together, or a labelled stratum has no decisions.
    """

    stratum: IntArray
    correct: FloatArray
    propensity: FloatArray
    sizes: FloatArray
    groups: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        n = self.stratum.size
        if self.correct.shape != (n,) or self.propensity.shape != (n,):
            raise errors.DataRefused("a sample needs one outcome and one propensity for each label")
        if n and not np.all((self.propensity > 0.0) & (self.propensity <= 1.0)):
            raise errors.DataRefused("a propensity is not in (0, 1]")
        if n and (self.stratum.max() >= self.sizes.size or np.any(self.sizes[self.stratum] <= 0.0)):
            raise errors.DataRefused(
                "a label is of a stratum without decisions: the ledger's counts and labels do not agree"
            )

    @property
    def weights(self) -> FloatArray:
        """(n,) how many decisions each label stands for; they sum to the size of every labelled stratum.

        Within a stratum in inverse proportion to the propensities (Hajek 1971), and scaled so that the sum is
        the stratum's exact size (post-stratification, Holt and Smith 1979): so what a draw happened to take too
        much or too little of a stratum is put right, and so is an answer that did not come, where not coming
        does not depend on whether it would have been right.
        """
        inverse = 1.0 / self.propensity
        totals = np.bincount(self.stratum, weights=inverse, minlength=self.sizes.size)
        return inverse * self.sizes[self.stratum] / totals[self.stratum]

    def with_outcomes(self, outcomes: FloatArray) -> "Sample":
        """The same labels about something else: (n,) of 1.0 and 0.0."""
        return Sample(
            stratum=self.stratum,
            correct=outcomes,
            propensity=self.propensity,
            sizes=self.sizes,
            groups=self.groups,
        )
