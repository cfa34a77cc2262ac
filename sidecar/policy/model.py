"""The policy file: its schema, its defaults, and errors that name the key."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from calibrators.evidence import Aggregation, EvidenceKind
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action
from sidecar.policy.band import DEFAULT_AUDIT_RATE, DEFAULT_BANDS, Band, Bands
from sidecar.policy.costs import Costs
from sidecar.policy.detectors import Detectors
from sidecar.policy.fallback import PERSON_ONLY, Chain, require_fit
from sidecar.policy.fields import (
    CalibratorUri,
    Duration,
    Edge,
    FileVersion,
    PersonAction,
    Rate,
    Strict,
    Word,
    as_tuple,
)
from sidecar.policy.promise import Promise
from sidecar.policy.review import Review
from sidecar.policy.upkeep import Admission, Retrain, Watch

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
BandOn = Literal["calibrated", "lower_bound"]


class ConfidenceRange(Strict):
    """Calibrated confidences that never act alone: closed below, open above (1 is closed)."""

    from_: Edge = Field(alias="from")
    to: Edge

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.from_ >= self.to:
            raise ValueError("an empty range: from must be below to")
        return self


MandatoryReview = (
    bool
    | Annotated[
        tuple[ConfidenceRange, ...],
        BeforeValidator(as_tuple),
        Field(min_length=1),
    ]
)


class Category(Strict):
    """What is special about a category."""

    mandatory_review: MandatoryReview = False
    bands: Bands | None = None
    audit_rate: Rate | None = None
    promise: Promise | None = None


class Stale(Strict):
    """What happens once a calibrator was not confirmed for too long."""

    after: Duration = 86400.0
    action: PersonAction = Action.HOLD_FOR_REVIEW


class Model(Strict):
    """The policy of one model.

    `band_on: lower_bound` cuts bands on the lower curve that the calibrator's document carries, so that
    automation grows with evidence. `shadow: false` leaves the registry's challenger alone, which otherwise is
    evaluated beside the champion, and decides nothing.
    """

    mode: Literal["enforce", "observe"] = "enforce"
    calibrator: CalibratorUri
    versions: dict[Word, CalibratorUri] = Field(default_factory=dict)
    model_version: Word = "any"
    evidence: EvidenceKind
    aggregation: Aggregation | None = None
    criterion: Word = "correct"
    bands: Bands = DEFAULT_BANDS
    band_on: BandOn = "calibrated"
    classes: tuple[Word, ...] = Field((), strict=False)
    categories: dict[str, Category] = Field(default_factory=dict)
    unknown_category: PersonAction = Action.HOLD_FOR_REVIEW
    stale: Stale = Stale()
    expires_after: Duration = 86400.0
    fallback: Chain = PERSON_ONLY
    costs: Costs | None = None
    watch: Watch = Watch()
    retrain: Retrain = Retrain()
    admission: Admission = Admission()
    shadow: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.evidence in ("probabilities", "logits") and len(self.classes) < 2:
            raise ValueError(f"evidence {self.evidence} needs classes: the names, in the order of the vector")
        if self.evidence == "positive_probability" and len(self.classes) not in (0, 2):
            raise ValueError(
                "evidence positive_probability needs two classes, the positive one last, or none"
            )
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands twice")
        if self.aggregation not in (None, "none") and self.evidence != "token_logprobs":
            raise ValueError("aggregation goes with evidence token_logprobs only")
        if self.evidence == "token_logprobs" and self.aggregation == "none":
            raise ValueError("evidence token_logprobs needs an aggregation: mean, min or sum")
        normalised: dict[str, str] = {}
        for name, category in self.categories.items():
            key = categories.normalise(name)
            if not key or not name.isprintable():
                raise ValueError(
                    f"categories: {name!r} is no name: it is empty, or holds what cannot be seen"
                )
            if key in normalised:
                raise ValueError(
                    f"categories: {name!r} and {normalised[key]!r} are the same after normalising"
                )
            normalised[key] = name
            if key in categories.ALWAYS_MANDATORY and category.mandatory_review is not True:
                raise ValueError(
                    f"categories.{name}: always needs a person; write mandatory_review: true, or leave it out"
                )
        every = [
            *self.bands,
            *(band for category in self.categories.values() for band in category.bands or ()),
        ]
        require_fit(
            self.fallback,
            automatic=frozenset(band.name for band in every if band.action in AUTOMATIC_ACTIONS),
            other=frozenset(band.name for band in every if band.action not in AUTOMATIC_ACTIONS),
            classes=self.classes,
        )
        return self

    def aggregated_by(self) -> Aggregation:
        """How token log-probabilities become one number; `none` for every other evidence."""
        if self.evidence != "token_logprobs":
            return "none"
        return self.aggregation or "mean"


class Idempotency(Strict):
    """How long, and for how many requests, a retry gets its recorded answer."""

    age: Duration = 3600.0
    entries: int = Field(100_000, ge=0, le=10_000_000)


class Policy(Strict):
    """The whole file."""

    version: FileVersion
    models: dict[str, Model] = Field(min_length=1)
    idempotency: Idempotency = Idempotency()
    review: Review = Review()
    label_window: Duration = 7776000.0
    detectors: Detectors = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.models:
            if not MODEL_NAME.fullmatch(name):
                raise ValueError(f"models: {name!r} is no model name (letters, digits, . _ / -, at most 128)")
        return self


def bands_of(model: Model, category: Category | None) -> tuple[Band, ...]:
    """The bands that hold for a category, from the highest edge down."""
    own = category.bands if category is not None else None
    return model.bands if own is None else own


def audit_rate_of(band: Band, category: Category | None) -> float:
    """The share of decisions of this band and category that is drawn for audit."""
    if category is not None and category.audit_rate is not None:
        return category.audit_rate
    return DEFAULT_AUDIT_RATE if band.audit_rate is None else band.audit_rate


def promise_of(band: Band, category: Category | None) -> Promise | None:
    """What is promised of the decisions of this band and category; None where nothing acts.

    What nobody wrote down is the reading that the band invites: at least its lower edge.
    """
    if band.action not in AUTOMATIC_ACTIONS:
        return None
    own = None if category is None else category.promise
    if own is not None or band.promise is not None:
        return own or band.promise
    return Promise(accuracy=band.from_) if 0 < band.from_ < 1 else None


def json_schema() -> dict[str, Any]:
    """JSON Schema of the policy file, for editors."""
    return Policy.model_json_schema(by_alias=True)
