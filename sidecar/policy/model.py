"""The policy file: its schema, its defaults, and errors that name the key."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from calibrators import evidence
from sidecar.policy import categories
from sidecar.policy.actions import Action

DURATION_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
CALIBRATOR_URI = re.compile(r"models:/[^/@]+(/[1-9][0-9]*|@[A-Za-z0-9_-]+)|file:.+")
DEFAULT_AUDIT_RATE = 0.05
BatchReview = Literal["next_day"]


def _duration(value: object) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit, such as 30s, 10m, 24h or 7d")
    return float(match[1]) * DURATION_SECONDS[match[2]]


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")
    # Through the shortest text, so that 0.9 is nine tenths and not the binary fraction beside it.
    return Decimal(str(value))


def _person_action(value: object) -> object:
    if value not in (Action.HOLD_FOR_REVIEW, Action.ESCALATE):
        raise ValueError("must be HOLD_FOR_REVIEW or ESCALATE: nothing else leaves the decision to a person")
    return Action(str(value))


def _calibrator_uri(value: str) -> str:
    if not CALIBRATOR_URI.fullmatch(value):
        raise ValueError(
            f"{value!r} is no calibrator source: write models:/NAME@champion, models:/NAME/3 or file:PATH"
        )
    return value


Duration = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(lambda seconds: f"{seconds:.15g}s", return_type=str)
]
PersonAction = Annotated[Literal[Action.HOLD_FOR_REVIEW, Action.ESCALATE], BeforeValidator(_person_action)]
CalibratorUri = Annotated[str, AfterValidator(_calibrator_uri)]
Edge = Annotated[
    Decimal, BeforeValidator(_decimal), PlainSerializer(float, return_type=float), Field(ge=0, le=1)
]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strict(BaseModel):
    """No unknown key, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Band(Strict):
    """An interval of calibrated confidence, closed below and open above, with an action."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    from_: Edge = Field(alias="from")
    action: Action = Field(strict=False)
    audit_rate: Rate | None = None
    review: BatchReview | None = None

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        if self.action is Action.UNCERTAIN:
            raise ValueError(
                "UNCERTAIN is what remains when nothing else is possible; a band cannot ask for it"
            )
        if self.review is not None and self.action is not Action.AUTO_ROUTE_FLAGGED:
            raise ValueError("review: next_day goes with action AUTO_ROUTE_FLAGGED only")
        return self


DEFAULT_BANDS = (
    Band(name="auto", from_=Decimal("0.90"), action=Action.AUTO_ROUTE),
    Band(name="flagged", from_=Decimal("0.70"), action=Action.AUTO_ROUTE_FLAGGED, review="next_day"),
    Band(name="hold", from_=Decimal("0.50"), action=Action.HOLD_FOR_REVIEW),
    Band(name="reject", from_=Decimal("0.00"), action=Action.REJECT),
)

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
    for upper, lower in zip(ordered, ordered[1:], strict=False):
        if upper.from_ == lower.from_:
            raise ValueError(
                f"bands {upper.name} and {lower.name} both start at {upper.from_}: one would be dead"
            )
        if STRICTNESS[upper.action] > STRICTNESS[lower.action]:
            raise ValueError(
                f"band {upper.name} ({upper.action}) is stricter than {lower.name} ({lower.action}) below it: "
                "a higher confidence must not be treated worse"
            )
    if edges[-1] != 0:
        raise ValueError(f"confidences from 0 to {edges[-1]} have no band: the lowest must start at 0.00")
    if edges[0] == 1:
        raise ValueError(f"band {ordered[0].name} starts at 1: a calibrated confidence never gets there")
    return ordered


Bands = Annotated[
    tuple[Band, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    AfterValidator(_ordered),
]
"""Always from the highest edge down, in whatever order the file has them."""


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
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        Field(min_length=1),
    ]
)


class Category(Strict):
    """What is special about a category."""

    mandatory_review: MandatoryReview = False
    bands: Bands | None = None
    audit_rate: Rate | None = None


class Stale(Strict):
    """What happens once a calibrator was not confirmed for too long."""

    after: Duration = 86400.0
    action: PersonAction = Action.HOLD_FOR_REVIEW


class Model(Strict):
    """The policy of one model."""

    mode: Literal["enforce", "observe"] = "enforce"
    calibrator: CalibratorUri
    versions: dict[str, CalibratorUri] = Field(default_factory=dict)
    model_version: str = "any"
    evidence: evidence.EvidenceKind
    aggregation: evidence.Aggregation | None = None
    criterion: str = "correct"
    bands: Bands = DEFAULT_BANDS
    classes: tuple[str, ...] = Field((), strict=False)
    categories: dict[str, Category] = Field(default_factory=dict)
    unknown_category: PersonAction = Action.HOLD_FOR_REVIEW
    stale: Stale = Stale()
    expires_after: Duration = 86400.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.evidence in ("probabilities", "logits") and len(self.classes) < 2:
            raise ValueError(f"evidence {self.evidence} needs classes: the names, in the order of the vector")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands twice")
        if self.aggregation not in (None, "none") and self.evidence != "token_logprobs":
            raise ValueError("aggregation goes with evidence token_logprobs only")
        if self.evidence == "token_logprobs" and self.aggregation == "none":
            raise ValueError("evidence token_logprobs needs an aggregation: mean, min or sum")
        normalised: dict[str, str] = {}
        for name, category in self.categories.items():
            key = categories.normalise(name)
            if not key:
                raise ValueError("categories: an empty name")
            if key in normalised:
                raise ValueError(
                    f"categories: {name!r} and {normalised[key]!r} are the same after normalising"
                )
            normalised[key] = name
            if key in categories.ALWAYS_MANDATORY and category.mandatory_review is not True:
                raise ValueError(
                    f"categories.{name}: always needs a person; write mandatory_review: true, or leave it out"
                )
        return self

    def aggregated_by(self) -> evidence.Aggregation:
        """How token log-probabilities become one number; `none` for every other evidence."""
        if self.evidence != "token_logprobs":
            return "none"
        return self.aggregation or "mean"


class Idempotency(Strict):
    """How long, and for how many requests, a retry gets its recorded answer."""

    age: Duration = 3600.0
    entries: int = Field(100_000, ge=0, le=10_000_000)


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone such as Europe/Berlin") from error
    return value


class Review(Strict):
    """When review tasks are due, and how far behind the queue may fall."""

    time_zone: Annotated[str, BeforeValidator(_time_zone)] = "UTC"
    hold_due: Duration = 14400.0
    escalation_due: Duration = 3600.0
    audit_due: Duration = 604800.0
    max_backlog_age: Duration = 14400.0


class Policy(Strict):
    """The whole file."""

    version: Literal[1]
    models: dict[str, Model] = Field(min_length=1)
    idempotency: Idempotency = Idempotency()
    review: Review = Review()
    label_window: Duration = 7776000.0

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


def json_schema() -> dict[str, Any]:
    """JSON Schema of the policy file, for editors."""
    return Policy.model_json_schema(by_alias=True)
