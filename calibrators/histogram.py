"""The histogram of raw confidence in a fitting window: the reference of later drift checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from calibrators import checks
from calibrators.errors import CalibratorRefused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreHistogram:
    """How the raw confidences of a window spread over bins.

    Attributes:
        edges: strictly increasing, from 0.0 to 1.0, one more than bins; a bin is closed below and open above,
            the last one closed at 1, as in `numpy.histogram`.
        shares: the weighted share of the scores in each bin; they sum to 1.

    Raises:
        CalibratorRefused: the edges or the shares are not as described.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = tuple([checks.number(edge, f"edges[{i}]", 0.0, 1.0) for i, edge in enumerate(self.edges)])
        shares = tuple(
            [checks.number(share, f"shares[{i}]", 0.0, 1.0) for i, share in enumerate(self.shares)]
        )
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "shares", shares)
        if len(edges) < 2 or len(edges) != len(shares) + 1:
            raise CalibratorRefused(
                f"{len(edges)} edges do not fit {len(shares)} shares: there is one edge more than shares",
                code="DOCUMENT_MALFORMED",
            )
        if edges[0] != 0.0 or edges[-1] != 1.0 or any(high <= low for low, high in pairwise(edges)):
            raise CalibratorRefused("edges must increase strictly from 0 to 1", code="OUT_OF_RANGE")
        if abs(sum(shares) - 1.0) > SUM_TOLERANCE:
            raise CalibratorRefused(f"shares sum to {sum(shares)}, not to 1", code="OUT_OF_RANGE")

    @classmethod
    def of(
        cls,
        scores: "Sequence[float] | npt.NDArray[np.float64]",
        weights: "Sequence[float] | npt.NDArray[np.float64] | None" = None,
        bins: int = 10,
    ) -> "ScoreHistogram":
        """The histogram of scores over their own quantiles.

        An edge lies halfway between two neighbouring scores, never on one, so that a score which comes back
        through float32 stays in its bin. Where scores repeat there are fewer bins than asked for.

        Args:
            scores: raw confidences in [0, 1], (n,), n >= 1.
            weights: their weights, (n,), not negative; None means equal ones.
            bins: the number of bins to aim for, at least 1.

        Raises:
            CalibratorRefused: there are no scores, or scores or weights are not as described.
        """
        import numpy as np

        values, mass = _checked(scores, weights)
        if bins < 1:
            raise CalibratorRefused(f"bins is {bins}: it must be at least 1", code="OUT_OF_RANGE")
        distinct, position = np.unique(values, return_inverse=True)
        reached = np.cumsum(np.bincount(position, weights=mass)) / mass.sum()
        # Cut k is the end of a distinct score's block, whichever lies closest to k/bins.
        targets = np.arange(1, bins) / bins
        after = np.minimum(np.searchsorted(reached, targets), len(distinct) - 1)
        before = np.maximum(after - 1, 0)
        closer = np.where(targets - reached[before] < reached[after] - targets, before, after)
        ends = np.unique(closer[closer < len(distinct) - 1])
        low, high = distinct[ends], distinct[ends + 1]
        middle = low + (high - low) / 2.0
        cuts = np.where(middle > low, middle, high)
        edges = (0.0, *cuts[cuts < 1.0].tolist(), 1.0)
        return cls(edges=edges, shares=_shares(edges, values, mass))

    def shares_of(
        self,
        scores: "Sequence[float] | npt.NDArray[np.float64]",
        weights: "Sequence[float] | npt.NDArray[np.float64] | None" = None,
    ) -> tuple[float, ...]:
        """The weighted share of other scores, (n,), in each of these bins; see `of` for what they must be."""
        return _shares(self.edges, *_checked(scores, weights))


def _checked(
    scores: "Sequence[float] | npt.NDArray[np.float64]",
    weights: "Sequence[float] | npt.NDArray[np.float64] | None",
) -> "tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]":
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    mass = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or mass.shape != values.shape:
        raise CalibratorRefused(
            f"a histogram needs a row of scores, at least one, and as many weights; their shapes are "
            f"{values.shape} and {mass.shape}",
            code="DOCUMENT_MALFORMED",
        )
    if not bool(np.all((values >= 0.0) & (values <= 1.0))):
        raise CalibratorRefused("the scores of a histogram must lie between 0 and 1", code="OUT_OF_RANGE")
    if not bool(np.all(np.isfinite(mass) & (mass >= 0.0))) or not mass.sum() > 0.0:
        raise CalibratorRefused(
            "the weights of a histogram must be finite, not negative, and not all zero", code="OUT_OF_RANGE"
        )
    return values, mass


def _shares(
    edges: tuple[float, ...], values: "npt.NDArray[np.float64]", mass: "npt.NDArray[np.float64]"
) -> tuple[float, ...]:
    import numpy as np

    counts, _ = np.histogram(values, bins=np.array(edges), weights=mass)
    shares: list[float] = (counts / counts.sum()).tolist()
    return tuple(shares)
