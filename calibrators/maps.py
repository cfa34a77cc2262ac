"""The parametric calibration maps: frozen values from a score, or logits, to the chance of being correct.

Every map has two paths that agree to 1e-12: `one` for a single value, without numpy, and `many` for an array.
Both expect what `calibrators.calibrator.Calibrator` has checked: scores in [0, 1], finite logits. Inputs are
clipped to [epsilon, 1 - epsilon] before a logarithm, outputs to the same range, and no map reverses an order.
The agreement holds for slopes up to 500; a steeper map is a step, where the last bit of a logarithm decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from calibrators import checks, logits
from calibrators.errors import CalibratorRefused

if TYPE_CHECKING:
    from calibrators.logits import Floats

Kind = Literal["identity", "temperature", "platt", "beta", "isotonic", "constant"]
Parameters = dict[str, float | str | list[float]]


def _temperature(value: float) -> float:
    temperature = checks.steepness(value, "temperature")
    if temperature == 0.0:
        raise CalibratorRefused("temperature is 0: it must be above 0", code="OUT_OF_RANGE")
    return temperature


@dataclass(frozen=True, slots=True)
class Identity:
    """Leaves the score as it is."""

    kind: ClassVar[Kind] = "identity"

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {}

    def one(self, score: float, epsilon: float) -> float:
        """The score, clipped."""
        return logits.clip(score, epsilon)

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` of every score, (n,) to (n,)."""
        return scores.clip(epsilon, 1.0 - epsilon)


@dataclass(frozen=True, slots=True)
class Constant:
    """Answers one value in [0, 1] whatever the score, as for a rule whose accuracy is known."""

    value: float
    kind: ClassVar[Kind] = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", checks.number(self.value, "value", 0.0, 1.0))

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {"value": self.value}

    def one(self, score: float, epsilon: float) -> float:  # noqa: ARG002 (as every map)
        """The value, clipped."""
        return logits.clip(self.value, epsilon)

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` for every score, (n,) to (n,)."""
        return scores * 0.0 + self.one(0.0, epsilon)


@dataclass(frozen=True, slots=True)
class Temperature:
    """sigmoid(logit(s) / T) for a single score, T > 0 (Guo et al. 2017, binary case)."""

    temperature: float
    kind: ClassVar[Kind] = "temperature"
    input: ClassVar[str] = "score"

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", _temperature(self.temperature))

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {"input": self.input, "temperature": self.temperature}

    def one(self, score: float, epsilon: float) -> float:
        """The calibrated confidence for one score."""
        return logits.clip(logits.sigmoid(logits.logit(score, epsilon) / self.temperature), epsilon)

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` of every score, (n,) to (n,)."""
        import numpy as np

        with np.errstate(over="ignore"):  # a tiny temperature takes the quotient to infinity, which is meant
            scaled = logits.logit_array(scores, epsilon) / self.temperature
        return logits.sigmoid_array(scaled).clip(epsilon, 1.0 - epsilon)


@dataclass(frozen=True, slots=True)
class VectorTemperature:
    """softmax(v / T) for a vector of logits, T > 0 (Guo et al. 2017).

    Probabilities go in as their logarithms (`calibrators.logits.log_probabilities`).
    """

    temperature: float
    kind: ClassVar[Kind] = "temperature"
    input: ClassVar[str] = "logits"

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", _temperature(self.temperature))

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {"input": self.input, "temperature": self.temperature}

    def one(self, vector: Sequence[float], epsilon: float) -> tuple[float, ...]:
        """The probability of each class, in the vector's order: sums to 1 before the clipping."""
        probabilities = logits.softmax(vector, self.temperature)
        return tuple([logits.clip(probability, epsilon) for probability in probabilities])

    def many(self, vectors: Floats, epsilon: float) -> Floats:
        """`one` of every row, (n, k) to (n, k)."""
        return logits.softmax_array(vectors, self.temperature).clip(epsilon, 1.0 - epsilon)


@dataclass(frozen=True, slots=True)
class Platt:
    """sigmoid(slope * f(s) + intercept), f the logit or the raw score, slope >= 0 (Platt 1999).

    The sign is ours: a larger slope means a steeper rise. Platt and scikit-learn write
    1 / (1 + exp(a f + b)), so slope = -a and intercept = -b.
    """

    slope: float
    intercept: float
    on: Literal["logit", "raw"] = "logit"
    kind: ClassVar[Kind] = "platt"

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", checks.steepness(self.slope, "slope"))
        object.__setattr__(self, "intercept", checks.number(self.intercept, "intercept"))
        checks.member(self.on, ("logit", "raw"), "on")

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {"slope": self.slope, "intercept": self.intercept, "on": self.on}

    def one(self, score: float, epsilon: float) -> float:
        """The calibrated confidence for one score."""
        feature = score if self.on == "raw" else logits.logit(score, epsilon)
        return logits.clip(logits.sigmoid(self.slope * feature + self.intercept), epsilon)

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` of every score, (n,) to (n,)."""
        import numpy as np

        feature = scores if self.on == "raw" else logits.logit_array(scores, epsilon)
        with np.errstate(over="ignore"):  # a huge slope takes the product to infinity, which is meant
            value = self.slope * feature + self.intercept
        return logits.sigmoid_array(value).clip(epsilon, 1.0 - epsilon)


@dataclass(frozen=True, slots=True)
class Beta:
    """sigmoid(c + a ln s - b ln(1 - s)), a and b >= 0 (Kull, Silva Filho and Flach 2017)."""

    a: float
    b: float
    c: float
    kind: ClassVar[Kind] = "beta"

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", checks.steepness(self.a, "a"))
        object.__setattr__(self, "b", checks.steepness(self.b, "b"))
        object.__setattr__(self, "c", checks.number(self.c, "c"))

    def parameters(self) -> Parameters:
        """The parameters as they stand in the document."""
        return {"a": self.a, "b": self.b, "c": self.c}

    def one(self, score: float, epsilon: float) -> float:
        """The calibrated confidence for one score."""
        score = logits.clip(score, epsilon)
        value = self.a * logits.log(score) - self.b * logits.log(1.0 - score) + self.c
        return logits.clip(logits.sigmoid(value), epsilon)

    def many(self, scores: Floats, epsilon: float) -> Floats:
        """`one` of every score, (n,) to (n,)."""
        import numpy as np

        scores = scores.clip(epsilon, 1.0 - epsilon)
        # The intercept comes last: of the two logarithms one is below 0.7, so two infinities never meet.
        with np.errstate(over="ignore"):
            value = self.a * logits.log_array(scores) - self.b * logits.log_array(1.0 - scores) + self.c
        return logits.sigmoid_array(value).clip(epsilon, 1.0 - epsilon)
