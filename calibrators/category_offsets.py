"""Category offsets: how much more or less an answer is worth in a category, on the logit of its confidence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from calibrators import checks, logits
from calibrators.errors import CalibratorRefused, EvidenceUnusable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from calibrators.logits import Floats

Offsets = Mapping[str, float]

LARGEST = 5.0
"""The odds times 148. A larger one would magnify the last bit of a confidence near 1 past the golden check."""


def checked(offsets: Mapping[str, float]) -> Offsets:
    """The offsets, sorted by category, so that equal ones have one digest.

    A category stands as the sidecar names it, in its normal form; an offset of 0 says the same as none, and
    is left out.

    Raises:
        CalibratorRefused: an offset is no finite number within [-5, 5], or a category has no name.
    """
    if not isinstance(offsets, Mapping):
        raise CalibratorRefused("category_offsets must be an object", code="DOCUMENT_MALFORMED")
    plain = {
        checks.text(name, "category_offsets: a category"): checks.number(
            offset, f"category_offsets[{name!r:.80}]", -LARGEST, LARGEST
        )
        for name, offset in offsets.items()
    }
    return MappingProxyType({name: plain[name] for name in sorted(plain) if plain[name] != 0.0})


def shift(confidence: float, offset: float, epsilon: float) -> float:
    """sigmoid(logit(q) + offset), clipped: never reverses the order of two confidences of one category."""
    return logits.clip(logits.sigmoid(logits.logit(confidence, epsilon) + offset), epsilon)


def shift_array(confidences: Floats, offsets: Floats, epsilon: float) -> Floats:
    """`shift` of every entry; where the offset is 0, the confidence as it is."""
    import numpy as np

    shifted = logits.sigmoid_array(logits.logit_array(confidences, epsilon) + offsets)
    return np.where(offsets == 0.0, confidences, shifted.clip(epsilon, 1.0 - epsilon))


def of_each(offsets: Offsets, categories: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """(n,) the offset of each category, 0 for those that have none.

    Raises:
        EvidenceUnusable: there is not one category for each of the n values.
    """
    import numpy as np

    given: npt.NDArray[Any] = np.asarray(categories, dtype=np.str_)
    if given.shape != (n,):
        raise EvidenceUnusable(f"there are {n} values, but categories of shape {given.shape}")
    names, codes = np.unique(given, return_inverse=True)
    found = np.array([offsets.get(name, 0.0) for name in names.tolist()], dtype=np.float64)
    result: npt.NDArray[np.float64] = found[codes.reshape(-1)]
    return result
