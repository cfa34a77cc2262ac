"""Which cut-offs may be trusted: exact binomial tests in a sequence that was fixed before any label was seen.

After Angelopoulos, Bates, Candes, Jordan and Lei, Learn then test, 2021 (arXiv 2110.01052). The calibrator is
fixed. For a cut-off t, H_t says: of the answers from t on, more than `alpha` are wrong. Of n_t independent
labels from t on e_t are wrong, and p_t = P(Bin(n_t, alpha) <= e_t). The cut-offs are tested from the strict
to the loose one, each at the level that the one before it hands on; a test that fails ends the sequence.

Where the strictest answers are few, or worse than those below them, one sequence ends before it began. So
there are several starts with a share of delta each, and a start that is reached with its own sequence alive
adds its share to what was handed on: the fallback procedure (Wiens 2003; Bretz, Maurer, Brannath and Posch
2009). The first true H after a true H that was kept can be rejected only at a level that the shares between
the two sum to, so that the probability of rejecting any true H is at most delta.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from training.measure.intervals import FloatArray, IntArray

STARTS = (2.0, 6.0, 18.0)
"""Where the sequences start: at so many times the labels without which no test can pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequence:
    """What the tests came to, from the strictest cut-off to the loosest.

    Attributes:
        n: (k,) labels from each cut-off on.
        wrong: (k,) how many of them are wrong.
        p_values: (k,) of H_t.
        levels: (k,) at which each was tested; 0 where it was not.
        passed: (k,) whether H_t was rejected: at least 1 - alpha of the answers from t on are correct.
    """

    n: IntArray
    wrong: IntArray
    p_values: FloatArray
    levels: FloatArray
    passed: npt.NDArray[np.bool_]

    @property
    def loosest(self) -> int | None:
        """The last cut-off that passed; None: none did."""
        found = np.flatnonzero(self.passed)
        return int(found[-1]) if found.size else None


def p_values(wrong: IntArray, n: IntArray, alpha: float) -> FloatArray:
    """(k,) P(Bin(n, alpha) <= wrong), exactly; 1 where there is no label."""
    return np.where(n > 0, special.bdtr(wrong.astype(np.float64), n, alpha), 1.0)


def least_labels(alpha: float, level: float) -> int:
    """Below so many labels not even a row without an error rejects at the level: ln(level) / ln(1 - alpha)."""
    return math.ceil(math.log(level) / math.log1p(-alpha) - 1e-9)


def shares(n: IntArray, *, alpha: float, delta: float, starts: tuple[float, ...] = STARTS) -> FloatArray:
    """(k,) the share of delta that each cut-off brings with it, by the numbers of labels alone.

    Args:
        n: (k,) labels from each cut-off on.
        alpha: the error rate that is promised.
        delta: to be shared out.
        starts: a start is the first cut-off with so many times the labels without which no test can pass.
            Those that the labels do not reach have no share; where none is reached, there is one start, at
            the first cut-off that can pass.
    """
    found = np.zeros(n.size)
    least = least_labels(alpha, delta)
    reached = [start for start in starts if n.size and n.max() >= start * least] or [1.0]
    share = delta / len(reached)
    for start in reached:
        enough = np.flatnonzero(n >= max(start * least, least_labels(alpha, share)))
        if enough.size:
            found[enough[0]] += share
    return found


def sequence(
    n: IntArray, wrong: IntArray, *, alpha: float, delta: float, starts: tuple[float, ...] = STARTS
) -> Sequence:
    """Tests the cut-offs in their order.

    Args:
        n: (k,) labels from each cut-off on, the strictest first.
        wrong: (k,) how many of them are wrong.
        alpha: the error rate that is promised, in (0, 1).
        delta: the probability that any cut-off passes though it breaks the promise, in (0, 1).
        starts: see `shares`.
    """
    values = p_values(wrong, n, alpha)
    own = shares(n, alpha=alpha, delta=delta, starts=starts)
    levels = np.zeros(n.size)
    passed = np.zeros(n.size, dtype=np.bool_)
    level = 0.0
    for place in range(n.size):
        level += own[place]
        levels[place] = level
        passed[place] = level > 0.0 and values[place] <= level
        level = level if passed[place] else 0.0
    return Sequence(n=n, wrong=wrong, p_values=values, levels=levels, passed=passed)
