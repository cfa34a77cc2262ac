"""The calibrator: a map with its birth certificate, the requests it serves, and a digest over all of it."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, overload

from calibrators import category_offsets as offsets_module
from calibrators import checks, logits
from calibrators import evidence as evidence_module
from calibrators.applies_to import AppliesTo
from calibrators.errors import CalibratorRefused, EvidenceUnusable
from calibrators.evidence import VECTOR_KINDS, Evidence
from calibrators.fit import Fit
from calibrators.histogram import ScoreHistogram
from calibrators.isotonic import Isotonic
from calibrators.lower_curve import LowerCurve
from calibrators.maps import Beta, Constant, Identity, Kind, Platt, Temperature, VectorTemperature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Map = Identity | Temperature | VectorTemperature | Platt | Beta | Isotonic | Constant

SCHEMAS = (1, 2)
"""The second one has category offsets, a lower curve, or both; a document with neither is of the first."""

EPSILON = 1e-6
"""The default clip: most scores come from float32 somewhere, and the wire does not tell."""

GOLDEN_SCORES = (
    *(0.0, 5e-324, 1e-9, 1e-4, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.9999, 1.0 - 1e-9, 1.0),
)
GOLDEN_VECTORS = ((0.0, 0.0), (2.0, -1.0, 0.5), (40.0, 0.0, -40.0, 39.0), (-1.5, -1.5, -0.25, 3.75, 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs and the outputs that whoever wrote the document got for them; vectors for a vector map.

    In a document of the second schema `categories` holds the category of each input, and `bounds` the lower
    bound of each output where there is a lower curve; else both are empty.
    """

    inputs: tuple[float | tuple[float, ...], ...] = ()
    outputs: tuple[float | tuple[float, ...], ...] = ()
    categories: tuple[str, ...] = ()
    bounds: tuple[float | tuple[float, ...], ...] = ()


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
        category_offsets: by category in the sidecar's normal form, what is added to the logit of the
            calibrated confidence; categories that are not named keep it as it is.
        lower: the lower confidence bound of a calibrated confidence; None where nobody measured one.
        golden: recorded inputs and outputs; made here unless a document brings them.
        digest: "sha256:" and the hexadecimal digest of `canonical(body(calibrator))`.

    Raises:
        CalibratorRefused: epsilon or an offset is out of range, or `applies_to` names evidence that the map
            cannot take.
    """

    map: Map
    _: KW_ONLY
    epsilon: float = EPSILON
    applies_to: AppliesTo | None = None
    fit: Fit | None = None
    histogram: ScoreHistogram | None = None
    category_offsets: Mapping[str, float] = field(default_factory=dict, hash=False)
    lower: LowerCurve | None = None
    golden: Golden = Golden()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", checks.number(self.epsilon, "epsilon", 1e-12, 0.1))
        object.__setattr__(self, "category_offsets", offsets_module.checked(self.category_offsets))
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
        given: tuple[float | tuple[float, ...], ...] = GOLDEN_VECTORS if self.takes_vector else GOLDEN_SCORES
        if self.schema == 1:
            return Golden(inputs=given, outputs=tuple([self.apply_one(value) for value in given]))
        # The furthest offsets stand for all: each is the same sum of two numbers.
        offsets = self.category_offsets
        ends = (
            {min(offsets, key=offsets.__getitem__), max(offsets, key=offsets.__getitem__)} if offsets else ()
        )
        pairs = [(value, category) for category in ("", *sorted(ends)) for value in given]
        outputs = tuple([self.apply_one(value, category) for value, category in pairs])
        return Golden(
            inputs=tuple([value for value, _ in pairs]),
            outputs=outputs,
            categories=tuple([category for _, category in pairs]),
            bounds=() if self.lower is None else tuple([self._bounds(output) for output in outputs]),
        )

    def _bounds(self, output: float | tuple[float, ...]) -> float | tuple[float, ...]:
        bound = self.bound_of
        return (
            tuple([bound(each) or 0.0 for each in output])
            if isinstance(output, tuple)
            else bound(output) or 0.0
        )

    @property
    def schema(self) -> int:
        """The number of the document's schema: 2 with category offsets or a lower curve, else 1."""
        return 2 if self.category_offsets or self.lower is not None else 1

    @property
    def kind(self) -> Kind:
        """The kind of the map, as the document names it."""
        return self.map.kind

    @property
    def takes_vector(self) -> bool:
        """Whether it maps a vector of logits to probabilities, rather than a score to a probability."""
        return isinstance(self.map, VectorTemperature)

    @overload
    def apply_one(self, value: float, category: str = "") -> float: ...
    @overload
    def apply_one(self, value: Sequence[float], category: str = "") -> tuple[float, ...]: ...
    @overload
    def apply_one(self, value: float | Sequence[float], category: str = "") -> float | tuple[float, ...]: ...
    def apply_one(self, value: float | Sequence[float], category: str = "") -> float | tuple[float, ...]:
        """The calibrated confidence of one score in [0, 1], or that of each class of a vector of logits.

        Args:
            value: the score, or the vector.
            category: in its normal form. The confidences of a vector sum to 1 without an offset; with one,
                each is what the class is worth where it is the given answer.

        Raises:
            EvidenceUnusable: the score is NaN or outside [0, 1], a logit is not finite, the vector is empty,
                or a vector was given for a score or the other way round.
        """
        offset = self.category_offsets.get(category, 0.0) if self.category_offsets else 0.0
        if isinstance(self.map, VectorTemperature):
            if isinstance(value, (int, float)):
                raise EvidenceUnusable("this calibrator takes a vector of logits, not one score")
            _require_vector(value)
            calibrated = self.map.one(value, self.epsilon)
            if offset:
                return tuple([offsets_module.shift(each, offset, self.epsilon) for each in calibrated])
            return calibrated
        try:
            usable = 0.0 <= value <= 1.0  # type: ignore[operator]  # the failing comparison is handled below
        except TypeError as error:
            raise EvidenceUnusable("this calibrator takes one score, a number between 0 and 1") from error
        if not usable:
            raise EvidenceUnusable(f"a score must be between 0 and 1, and is {value}")
        confidence = self.map.one(value, self.epsilon)  # type: ignore[arg-type]
        return offsets_module.shift(confidence, offset, self.epsilon) if offset else confidence

    def apply(
        self, array: "npt.ArrayLike", categories: "npt.ArrayLike | None" = None
    ) -> "npt.NDArray[np.float64]":
        """Calibrated confidences of scores, (n,) to (n,), or of each class of logits, (n, k) to (n, k).

        Args:
            array: the scores, or the logits.
            categories: (n,) names in their normal form; None where there are none. See `apply_one`.

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
        calibrated = self.map.many(values, self.epsilon)
        if categories is None:
            return calibrated
        offsets = offsets_module.of_each(self.category_offsets, categories, len(values))
        if not offsets.any():
            return calibrated
        if calibrated.ndim == 2:
            offsets = offsets[:, None]
        return offsets_module.shift_array(calibrated, offsets, self.epsilon)

    def confidence(self, evidence: Evidence, category: str = "") -> float:
        """The probability that the given answer is correct.

        Whether the calibrator was fitted for such evidence at all is for `applies_to.matches` to say.

        Args:
            evidence: what the model handed over.
            category: of the request, in its normal form.

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
            calibrated = self.map.one(vector, self.epsilon)[evidence_module.answer_position(evidence)]
        else:
            aggregation = self.applies_to.aggregation if self.applies_to is not None else "none"
            calibrated = self.map.one(evidence_module.raw_confidence(evidence, aggregation), self.epsilon)
        if self.category_offsets and (offset := self.category_offsets.get(category, 0.0)):
            return offsets_module.shift(calibrated, offset, self.epsilon)
        return calibrated

    def bound_of(self, calibrated: float) -> float | None:
        """The lower confidence bound of a calibrated confidence, never above it; None without a curve."""
        return None if self.lower is None else self.lower.one(calibrated, self.epsilon)

    def lower_bound(self, evidence: Evidence, category: str = "") -> float | None:
        """The lower confidence bound of `confidence`; None where the calibrator carries no curve.

        Raises:
            EvidenceUnusable: as `confidence`.
        """
        return None if self.lower is None else self.bound_of(self.confidence(evidence, category))


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
    golden = asdict(calibrator.golden)
    later: dict[str, object] = {}
    if calibrator.schema == 1:
        del golden["categories"], golden["bounds"]  # the first schema never changes, nor do its digests
    else:
        later["category_offsets"] = dict(calibrator.category_offsets)
        later["lower"] = None if calibrator.lower is None else calibrator.lower.parameters()
    return {
        "schema": calibrator.schema,
        "kind": calibrator.kind,
        "parameters": calibrator.map.parameters(),
        "epsilon": calibrator.epsilon,
        "applies_to": None if calibrator.applies_to is None else asdict(calibrator.applies_to),
        "fit": None if calibrator.fit is None else asdict(calibrator.fit),
        "score_histogram": None if calibrator.histogram is None else asdict(calibrator.histogram),
        **later,
        "golden": golden,
    }


def canonical(document: dict[str, object]) -> bytes:
    """The bytes that a digest is taken over: JSON, sorted keys, no spaces, ASCII, shortest exact numbers."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
