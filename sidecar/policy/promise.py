"""What is promised of the decisions that a band acts on, and what happens when the promise breaks."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sidecar.policy.fields import Edge, Strict

OnBreach = Literal["alarm", "hold"]
"""`hold`: an alarm on the band suspends it, and only a person lifts that."""

DEFAULT_CONFIDENCE = Decimal("0.95")


def _date(value: object) -> object:
    """YAML reads 2027-03-31 as a date; JSON, as the canonical text is, has only text."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("a date is written 2027-03-31") from error
    return value


Accuracy = Annotated[Edge, Field(gt=0, lt=1)]
Confidence = Annotated[Edge, Field(ge=0.5, lt=1)]
Day = Annotated[date, BeforeValidator(_date)]


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
