"""The calibrator: a map with its birth certificate, the requests it serves, and a digest over all of it."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, overload

from calibrators import checks, logits
from calibrators import evidence as evidence_module
from calibrators.applies_to import AppliesTo
from calibrators.errors import CalibratorRefused, EvidenceUnusable
from calibrators.evidence import VECTOR_KINDS, Evidence
from calibrators.fit import Fit
from calibrators.histogram import ScoreHistogram
from calibrators.isotonic import Isotonic
from calibrators.maps import Beta, Constant, Identity, Kind, Platt, Temperature, VectorTemperature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Map = Identity | Temperature | VectorTemperature | Platt | Beta | Isotonic | Constant

SCHEMA = 1
EPSILON = 1e-6
"""The default clip: most scores come from float32 somewhere, and the wire does not tell."""

GOLDEN_SCORES = (
    *(0.0, 5e-324, 1e-9, 1e-4, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.9999, 1.0 - 1e-9, 1.0),
)
GOLDEN_VECTORS = ((0.0, 0.0), (2.0, -1.0, 0.5), (40.0, 0.0, -40.0, 39.0), (-1.5, -1.5, -0.25, 3.75, 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs and the outputs that whoever wrote the document got for them; vectors for a vector map."""

    inputs: tuple[float | tuple[float, ...], ...] = ()
    outputs: tuple[float | tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A fitted, monotone map from evidence to the probability that the given answer is correct.

    Attributes:
        map: one of the maps.
        epsilon: inputs are clipped to [epsilon, 1 - epsilon] before logarithms, and outputs always; from
            1e-12 to 0.1.
        applies_to: the requests it serves; None serves none (a document written by hand).
        fit: what it was fitted on.
        histogram: the raw confidences in its fitting window.
        golden: recorded inputs and outputs; made here unless a document brings them.
        digest: "sha256:" and the hexadecimal digest of `canonical(body(calibrator))`.

    Raises:
        CalibratorRefused: epsilon is out of range, or `applies_to` names evidence that the map cannot take.
    """

    map: Map
    _: KW_ONLY
    epsilon: float = EPSILON
    applies_to: AppliesTo | None = None
    fit: Fit | None = None
    histogram: ScoreHistogram | None = None
    golden: Golden = Golden()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", checks.number(self.epsilon, "epsilon", 1e-12, 0.1))
        if self.takes_vector and self.applies_to and self.applies_to.evidence not in VECTOR_KINDS:
            raise CalibratorRefused(
                f"applies_to.evidence is {self.applies_to.evidence}, but a temperature over logits takes "
                f"{' or '.join(VECTOR_KINDS)}: use the map of scores, whose input is score",
                code="DOCUMENT_MALFORMED",
            )
        if not self.golden.inputs:
            object.__setattr__(self, "golden", self._golden())
        digest = hashlib.sha256(canonical(body(self))).hexdigest()
        object.__setattr__(self, "digest", f"sha256:{digest}")

    def _golden(self) -> Golden:
        if isinstance(self.map, VectorTemperature):
            outputs = tuple([self.map.one(vector, self.epsilon) for vector in GOLDEN_VECTORS])
            return Golden(inputs=GOLDEN_VECTORS, outputs=outputs)
        scalar = self.map
        return Golden(
            inputs=GOLDEN_SCORES, outputs=tuple([scalar.one(score, self.epsilon) for score in GOLDEN_SCORES])
        )

    @property
    def kind(self) -> Kind:
        """The kind of the map, as the document names it."""
        return self.map.kind

    @property
    def takes_vector(self) -> bool:
        """Whether it maps a vector of logits to probabilities, rather than a score to a probability."""
        return isinstance(self.map, VectorTemperature)

    @overload
    def apply_one(self, value: float) -> float: ...
    @overload
    def apply_one(self, value: Sequence[float]) -> tuple[float, ...]: ...
    def apply_one(self, value: float | Sequence[float]) -> float | tuple[float, ...]:
        """The calibrated confidence of one score in [0, 1], or the class probabilities of a vector of logits.

        Raises:
            EvidenceUnusable: the score is NaN or outside [0, 1], a logit is not finite, the vector is empty,
                or a vector was given for a score or the other way round.
        """
        if isinstance(self.map, VectorTemperature):
            if isinstance(value, (int, float)):
                raise EvidenceUnusable("this calibrator takes a vector of logits, not one score")
            _require_vector(value)
            return self.map.one(value, self.epsilon)
        try:
            if 0.0 <= value <= 1.0:  # type: ignore[operator]  # the failing comparison is handled below
                return self.map.one(value, self.epsilon)  # type: ignore[arg-type]
        except TypeError as error:
            raise EvidenceUnusable("this calibrator takes one score, a number between 0 and 1") from error
        raise EvidenceUnusable(f"a score must be between 0 and 1, and is {value}")

    def apply(self, array: "npt.ArrayLike") -> "npt.NDArray[np.float64]":
        """Calibrated confidences of scores, (n,) to (n,), or class probabilities of logits, (n, k) to (n, k).

        Raises:
            EvidenceUnusable: the array has another shape, a score is NaN or outside [0, 1], or a logit is not
                finite.
        """
        import numpy as np

        try:
            values = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise EvidenceUnusable("the values are no array of numbers with rows of equal length") from error
        if isinstance(self.map, VectorTemperature):
            if values.ndim != 2 or values.shape[1] == 0:
                raise EvidenceUnusable(f"this calibrator takes logits of shape (n, k), not {values.shape}")
            usable, wanted = np.isfinite(values).all(axis=1), "a logit must be a finite number"
        else:
            if values.ndim != 1:
                raise EvidenceUnusable(f"this calibrator takes scores of shape (n,), not {values.shape}")
            usable, wanted = (values >= 0.0) & (values <= 1.0), "a score must be between 0 and 1"
        if not usable.all():
            row = int(np.argmin(usable))
            raise EvidenceUnusable(f"{wanted}; row {row} is {values[row]}")
        return self.map.many(values, self.epsilon)

    def confidence(self, evidence: Evidence) -> float:
        """The probability that the given answer is correct.

        Whether the calibrator was fitted for such evidence at all is for `applies_to.matches` to say.

        Raises:
            EvidenceUnusable: the evidence is malformed, or a calibrator of vectors was handed another kind.
        """
        if isinstance(self.map, VectorTemperature):
            if evidence.kind not in VECTOR_KINDS:
                raise EvidenceUnusable(
                    f"this calibrator takes logits or probabilities, not a {evidence.kind}"
                )
            if (reason := evidence_module.problem(evidence)) is not None:
                raise EvidenceUnusable(reason)
            vector = evidence.values
            if evidence.kind == "probabilities":
                vector = logits.log_probabilities(vector, self.epsilon)
            return self.map.one(vector, self.epsilon)[evidence_module.answer_position(evidence)]
        aggregation = self.applies_to.aggregation if self.applies_to is not None else "none"
        return self.map.one(evidence_module.raw_confidence(evidence, aggregation), self.epsilon)


def _require_vector(vector: Sequence[float]) -> None:
    try:
        usable = len(vector) > 0 and all(map(math.isfinite, vector))
    except TypeError as error:
        raise EvidenceUnusable(
            "this calibrator takes a vector of logits, one number for each class"
        ) from error
    if not usable:
        raise EvidenceUnusable("a vector of logits must not be empty, and each logit must be a finite number")


def body(calibrator: Calibrator) -> dict[str, object]:
    """The document without its digest, as plain JSON values."""
    return {
        "schema": SCHEMA,
        "kind": calibrator.kind,
        "parameters": calibrator.map.parameters(),
        "epsilon": calibrator.epsilon,
        "applies_to": None if calibrator.applies_to is None else asdict(calibrator.applies_to),
        "fit": None if calibrator.fit is None else asdict(calibrator.fit),
        "score_histogram": None if calibrator.histogram is None else asdict(calibrator.histogram),
        "golden": asdict(calibrator.golden),
    }


def canonical(document: dict[str, object]) -> bytes:
    """The bytes that a digest is taken over: JSON, sorted keys, no spaces, ASCII, shortest exact numbers."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
