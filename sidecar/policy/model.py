"""The policy file: its schema, its defaults, and errors that name the key.

What a model's policy says beside its decisions is in `upkeep`, its fallback chain in `fallback`.
"""

import itertools
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from calibrators.evidence import Aggregation, EvidenceKind
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action
from sidecar.policy.detectors import Detectors
from sidecar.policy.fallback import PERSON_ONLY, Chain, require_fit
from sidecar.policy.fields import (
    CalibratorUri,
    Day,
    Duration,
    Edge,
    FileVersion,
    PersonAction,
    Rate,
    Strict,
    Word,
    as_tuple,
)
from sidecar.policy.upkeep import Admission, Retrain, Review, WatchSettings

OnBreach = Literal["alarm", "hold"]
"""`hold`: an alarm on the band suspends it, and only a person lifts that."""

DEFAULT_CONFIDENCE = Decimal("0.95")

Accuracy = Annotated[Edge, Field(gt=0, lt=1)]
Confidence = Annotated[Edge, Field(ge=0.5, lt=1)]


class Promise(Strict):
    """A share of the decisions that act, and how surely it must be shown.

    Attributes:
        accuracy: at least this share of them is correct.
        confidence: of the two-sided interval whose lower end must reach it, and whose upper end below it
            breaks the promise.
        by: from this day (UTC) on, a promise that is not shown is overdue; None: there is no such day.
    """

    accuracy: Accuracy
    confidence: Confidence = DEFAULT_CONFIDENCE
    by: Day | None = None


DEFAULT_AUDIT_RATE = 0.05
BatchReview = Literal["next_day"]
Budget = Annotated[int, Field(ge=1, le=1_000_000)]


class Band(Strict):
    """An interval of calibrated confidence, closed below and open above, with an action.

    Attributes:
        name: of the band.
        from_: its lower edge.
        action: what happens to answers in it.
        audit_rate: the share of its decisions that is drawn for audit.
        audit_budget: the most audit labels a week and stratum; None: all that are drawn.
        review: `next_day` for flagged answers.
        promise: of what acts; None: an accuracy of at least the lower edge.
        on_breach: what an alarm does; on a band that acts.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    from_: Edge = Field(alias="from")
    action: Action = Field(strict=False)
    audit_rate: Rate | None = None
    audit_budget: Budget | None = None
    review: BatchReview | None = None
    promise: Promise | None = None
    on_breach: OnBreach = "alarm"

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        if self.action is Action.UNCERTAIN:
            raise ValueError(
                "UNCERTAIN is what remains when nothing else is possible; a band cannot ask for it"
            )
        if self.review is not None and self.action is not Action.AUTO_ROUTE_FLAGGED:
            raise ValueError("review: next_day goes with action AUTO_ROUTE_FLAGGED only")
        if self.action not in AUTOMATIC_ACTIONS and (self.promise is not None or self.on_breach != "alarm"):
            raise ValueError(
                "a promise is about decisions that act: promise and on_breach go with AUTO_ROUTE and "
                "AUTO_ROUTE_FLAGGED only"
            )
        return self


DEFAULT_BANDS = tuple(
    Band.model_validate(band)
    for band in (
        {"name": "auto", "from": 0.90, "action": "AUTO_ROUTE"},
        {"name": "flagged", "from": 0.70, "action": "AUTO_ROUTE_FLAGGED", "review": "next_day"},
        {"name": "hold", "from": 0.50, "action": "HOLD_FOR_REVIEW"},
        {"name": "reject", "from": 0.00, "action": "REJECT"},
    )
)

SMALLEST_EPSILON = Decimal("1e-12")
"""What a calibrator answers lies between the smallest epsilon that it may have and one minus that."""

STRICTNESS = {
    Action.AUTO_ROUTE: 0,
    Action.AUTO_ROUTE_FLAGGED: 1,
    Action.HOLD_FOR_REVIEW: 2,
    Action.ESCALATE: 3,
    Action.REJECT: 3,
}


def _ordered(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The bands from the highest edge down.

    Raises:
        ValueError: a gap at 0, two bands at one edge, a name twice, or a stricter band above a milder one.
    """
    if not bands:
        raise ValueError("at least one band is needed")
    ordered = tuple(sorted(bands, key=lambda band: band.from_, reverse=True))
    edges = [band.from_ for band in ordered]
    names = [band.name for band in ordered]
    if len(set(names)) != len(names):
        raise ValueError("two bands have the same name")
    for upper, lower in itertools.pairwise(ordered):
        if upper.from_ == lower.from_:
            raise ValueError(
                f"bands {upper.name} and {lower.name} both start at {upper.from_}: one would be dead"
            )
        if STRICTNESS[upper.action] > STRICTNESS[lower.action]:
            raise ValueError(
                f"band {upper.name} ({upper.action}) is stricter than {lower.name} ({lower.action}) below "
                "it: a higher confidence must not be treated worse"
            )
    if edges[-1] != 0:
        raise ValueError(f"confidences from 0 to {edges[-1]} have no band: the lowest must start at 0.00")
    if edges[0] > 1 - SMALLEST_EPSILON:
        raise ValueError(
            f"band {ordered[0].name} starts at {edges[0]}: a calibrated confidence never gets there"
        )
    if len(edges) > 1 and edges[-2] <= SMALLEST_EPSILON:
        raise ValueError(
            f"band {ordered[-1].name} ends at {edges[-2]}: a calibrated confidence is never below that"
        )
    return ordered


Bands = Annotated[
    tuple[Band, ...],
    BeforeValidator(as_tuple),
    AfterValidator(_ordered),
]
"""Always from the highest edge down, in whatever order the file has them."""


Cost = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class Costs(Strict):
    """The costs of one decision, from which the cheapest action at each confidence follows.

    After Chow, On optimum recognition error and reject tradeoff, 1970.

    Attributes:
        error: a wrong answer that acts.
        review: a person's look before the action.
        review_error_rate: the share of reviewed answers that the person gets wrong.
        flag: the next day's look at an answer that acted.
        flag_catch_rate: the share of errors that this look undoes.
        escalation: a senior person who takes over.
        rejection: a rejection itself.
        value: a right answer that a rejection throws away.
    """

    error: Annotated[Cost, Field(gt=0)]
    review: Cost
    review_error_rate: Rate = 0.0
    flag: Cost = 0.0
    flag_catch_rate: Rate = 0.0
    escalation: Cost | None = None
    rejection: Cost = 0.0
    value: Cost = 0.0

    @model_validator(mode="after")
    def _review_is_worth_something(self) -> Self:
        if self.review_error_rate == 1.0:
            raise ValueError("review_error_rate is 1: a review that is always wrong is no review")
        return self


class ConfidenceRange(Strict):
    """Calibrated confidences that never act alone: closed below, open above (1 is closed)."""

    from_: Edge = Field(alias="from")
    to: Edge

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.from_ >= self.to:
            raise ValueError("an empty range: from must be below to")
        return self


Ranges = Annotated[tuple[ConfidenceRange, ...], BeforeValidator(as_tuple), Field(min_length=1)]
MandatoryReview = bool | Ranges


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


MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
BandOn = Literal["calibrated", "lower_bound"]


class Model(Strict):
    """The policy of one model.

    `band_on: lower_bound` cuts bands on the lower curve that the calibrator's document carries, so that
    automation grows with evidence. `shadow: false` leaves the registry's challenger alone, which otherwise is
    evaluated beside the champion, and decides nothing. `require_context` names fields of the context without which
    an answer waits for a person, since no detector could read them.
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
    require_context: tuple[Word, ...] = Field((), strict=False)
    categories: dict[str, Category] = Field(default_factory=dict)
    unknown_category: PersonAction = Action.HOLD_FOR_REVIEW
    stale: Stale = Stale()
    expires_after: Duration = 86400.0
    fallback: Chain = PERSON_ONLY
    costs: Costs | None = None
    watch: WatchSettings = WatchSettings()
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


def listed(model: Model) -> dict[str, Category]:
    """What a policy says about each category that it lists, by the category's normal form."""
    return {categories.normalise(name): category for name, category in model.categories.items()}


def sections(model: Model) -> Iterator[tuple[str, Category | None]]:
    """The parts of a model's policy that may differ in their bands, their audits and their promises.

    First ("", None), which stands for every category that has nothing of its own; then the listed categories.
    """
    yield "", None
    yield from listed(model).items()


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
