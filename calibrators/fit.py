"""The birth certificate of a calibrator: what it was fitted on."""

from dataclasses import dataclass
from datetime import datetime

from calibrators import checks
from calibrators.errors import CalibratorRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a calibrator was fitted on.

    Attributes:
        n: the number of labels.
        n_effective: the effective sample size of their weights, (sum w)^2 / sum w^2.
        positives: the weighted share of correct answers, in [0, 1].
        distinct: the number of distinct scores.
        window_from: when the first answer in the data was given, RFC 3339; None when unknown.
        window_to: when the last one was.
        data_digest: a digest of the data, as its maker writes digests; None when unknown.
        note: anything that a reader should know.

    Raises:
        CalibratorRefused: a number is negative or not finite, or a time is no RFC 3339 time with an offset.
    """

    n: int
    n_effective: float
    positives: float
    distinct: int
    window_from: str | None
    window_to: str | None
    data_digest: str | None
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checks.count(self.n, "fit.n"))
        object.__setattr__(self, "distinct", checks.count(self.distinct, "fit.distinct"))
        object.__setattr__(self, "n_effective", checks.number(self.n_effective, "fit.n_effective", low=0.0))
        object.__setattr__(self, "positives", checks.number(self.positives, "fit.positives", 0.0, 1.0))
        if self.data_digest is not None:
            checks.text(self.data_digest, "fit.data_digest")
        checks.text(self.note, "fit.note", empty=True)
        start = _instant(self.window_from, "fit.window_from")
        end = _instant(self.window_to, "fit.window_to")
        if start is not None and end is not None and start > end:
            raise CalibratorRefused("fit.window_from is later than fit.window_to", code="OUT_OF_RANGE")


def _instant(value: str | None, key: str) -> datetime | None:
    if value is None:
        return None
    checks.text(value, key)
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None:
        raise CalibratorRefused(
            f"{key} is {value!r:.80}: it must be an RFC 3339 time with its offset, like 2025-03-03T00:00:00Z",
            code="DOCUMENT_MALFORMED",
        )
    return instant
