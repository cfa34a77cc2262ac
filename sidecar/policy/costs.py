"""What right and wrong decisions cost, in any one unit of the team's choice."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from sidecar.policy.fields import Rate, Strict

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
