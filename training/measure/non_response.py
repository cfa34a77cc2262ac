"""What the answers that did not come could change: the estimate if all of them were wrong, and if all were right."""

from dataclasses import dataclass

import numpy as np

from training.measure.intervals import FloatArray, IntArray
from training.measure.sample import BoolArray, Sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Missing:
    """Decisions that were drawn to be labelled, and of which no label tells.

    Attributes:
        stratum: (m,) as in `Sample`.
        propensity: (m,) with which probability each was drawn, in (0, 1].
    """

    stratum: IntArray
    propensity: FloatArray


def bounds(
    sample: Sample, missing: Missing, domain: BoolArray | None = None, missing_domain: BoolArray | None = None
) -> tuple[float, float] | None:
    """The estimate if every missing label said wrong, and if every one said right; None without any draw.

    No assumption about who does not answer stands behind it (Manski 1990); only that the draw was the draw.

    Args:
        sample: the labels that came.
        missing: those that did not.
        domain: (n,) which labels are of the domain; None: all.
        missing_domain: (m,) which missing ones are.
    """
    n, m = sample.stratum.size, missing.stratum.size
    kept = np.concatenate(
        [
            np.ones(n, dtype=bool) if domain is None else domain,
            np.ones(m, dtype=bool) if missing_domain is None else missing_domain,
        ]
    )
    if not kept.any():
        return None
    drawn = Sample(
        stratum=np.concatenate([sample.stratum, missing.stratum]),
        correct=np.concatenate([sample.correct, np.zeros(m)]),
        propensity=np.concatenate([sample.propensity, missing.propensity]),
        sizes=sample.sizes,
    )
    weights = drawn.weights[kept]
    right = drawn.correct[kept]
    unknown = (np.arange(n + m) >= n)[kept]
    low, high = (float(np.average(outcome, weights=weights)) for outcome in (right, right + unknown))
    return low, high
