"""Evidence: what a model hands over about the answer that it gives, and the raw confidence it implies.

Everything here is plain Python on purpose: it runs once for every request of the sidecar.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from calibrators.errors import EvidenceUnusable

EvidenceKind = Literal["score", "positive_probability", "probabilities", "logits", "token_logprobs"]
Aggregation = Literal["none", "mean", "min", "sum"]

EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
VECTOR_KINDS: tuple[EvidenceKind, ...] = ("probabilities", "logits")

ROUNDING = 1e-6
"""By how much a probability may exceed 1: 1.0000001192092896 is the float32 next to it. It is clipped."""

SUM_TOLERANCE = 0.01
"""By how much the sum of a probability vector may miss 1, whatever its length: room for float16."""

ROUNDED = 0.005
"""What rounding to two digits can add to the miss for each class."""

MOST_SUM_TOLERANCE = 0.1

LOGPROB_TOLERANCE = 1e-3
"""By how much a log-probability may exceed 0: some servers round a certain token upwards."""


class Evidence(NamedTuple):
    """What a model says about one answer. A tuple, since one is made, kept and read for every request.

    Attributes:
        kind: how to read `values`.
        values: `score`: the confidence in the given answer, one number. `positive_probability`: the
            probability of the positive class, one number. `probabilities` and `logits`: one number for each
            class. `token_logprobs`: natural logarithms, one for each token of the answer span.
        answer_index: the position of the given answer in a vector; None means the most likely one.
        answer_is_positive: whether the given answer is the positive class (`positive_probability` only).
        truncated: whether the generation stopped before it was complete (`token_logprobs` only).
    """

    kind: EvidenceKind
    values: tuple[float, ...]
    answer_index: int | None = None
    answer_is_positive: bool = True
    truncated: bool = False


def effective_aggregation(kind: EvidenceKind, aggregation: Aggregation = "none") -> Aggregation:
    """The aggregation in force: for token log-probabilities as asked, "mean" by default; otherwise "none"."""
    if kind != "token_logprobs":
        return "none"
    return "mean" if aggregation == "none" else aggregation


def sum_problem(values: Sequence[float]) -> str | None:
    """A sentence where the sum of a probability vector misses 1 by more than rounding explains; else None.

    By up to 0.01, or 0.005 for each class where that is more, up to 0.1; all of them inclusive.
    """
    tolerance = min(max(SUM_TOLERANCE, ROUNDED * len(values)), MOST_SUM_TOLERANCE)
    total = math.fsum(values)
    if abs(total - 1.0) <= tolerance + ROUNDING:
        return None
    return f"the probabilities sum to {total:.6g}, which is not 1 within {tolerance:g}"


def clipped(evidence: Evidence) -> Evidence:
    """The evidence with probabilities of at most 1, where they exceed it by no more than rounding does."""
    if evidence.kind in ("logits", "token_logprobs") or all(0.0 <= value <= 1.0 for value in evidence.values):
        return evidence
    return evidence._replace(values=tuple(map(_clip, evidence.values)))


def _clip(value: float) -> float:
    return 1.0 if 1.0 < value <= 1.0 + ROUNDING else value


def problem(evidence: Evidence) -> str | None:
    """A sentence that names what is malformed about the evidence, or None when it is well formed."""
    kind, values = evidence.kind, evidence.values
    if kind == "score" or kind == "positive_probability":
        if len(values) == 1 and 0.0 <= _clip(values[0]) <= 1.0:
            return None
        if len(values) != 1:
            return f"{kind} evidence holds exactly one value, not {len(values)}"
        return f"{kind} must be between 0 and 1, and is {values[0]}"
    if kind == "token_logprobs":
        return _logprobs_problem(values)
    if kind == "probabilities" or kind == "logits":
        return _vector_problem(evidence)
    return f"evidence kind {kind!r} is unknown; it must be one of {', '.join(EVIDENCE_KINDS)}"


def _logprobs_problem(values: tuple[float, ...]) -> str | None:
    if not values:
        return "token_logprobs evidence is empty: send the log-probabilities of the answer span"
    for position, value in enumerate(values):
        if not math.isfinite(value):
            return f"token log-probability {position} is {value}: it must be a finite number"
        if value > LOGPROB_TOLERANCE:
            return f"token log-probability {position} is {value}: a log-probability is not above 0"
    return None


def _vector_problem(evidence: Evidence) -> str | None:
    kind, values, index = evidence.kind, evidence.values, evidence.answer_index
    if len(values) < 2:
        return f"{kind} evidence holds one value for each class, at least two, not {len(values)}"
    if kind == "logits":
        for position, value in enumerate(values):
            if not math.isfinite(value):
                return f"logit {position} is {value}: it must be a finite number"
    else:
        for position, value in enumerate(values):
            if not 0.0 <= _clip(value) <= 1.0:
                return f"probability {position} is {value}: it must be between 0 and 1"
        if (reason := sum_problem(values)) is not None:
            return reason
    if index is not None and not 0 <= index < len(values):
        return f"the answer's index {index} is outside the {len(values)} classes of the {kind} evidence"
    return None


def raw_confidence(evidence: Evidence, aggregation: Aggregation = "none") -> float:
    """The confidence in the given answer that the evidence alone implies, in [0, 1].

    Args:
        evidence: well formed, as `problem` tells.
        aggregation: how token log-probabilities become one; "none" means their default, "mean" (the
            length-normalised probability exp(mean l) of Malinin and Gales 2021). Other kinds ignore it.

    Raises:
        EvidenceUnusable: the evidence is malformed.
    """
    kind, values = evidence.kind, evidence.values
    if (kind == "score" or kind == "positive_probability") and len(values) == 1 and 0.0 <= values[0] <= 1.0:
        return values[0] if kind == "score" or evidence.answer_is_positive else 1.0 - values[0]
    if (reason := problem(evidence)) is not None:
        raise EvidenceUnusable(reason)
    evidence = clipped(evidence)
    values = evidence.values
    if kind == "score" or kind == "positive_probability":
        return values[0] if kind == "score" or evidence.answer_is_positive else 1.0 - values[0]
    if kind == "token_logprobs":
        return min(1.0, math.exp(aggregated(values, aggregation)))
    if kind == "probabilities":
        return values[answer_position(evidence)]
    top = max(values)
    total = math.fsum([math.exp(value - top) for value in values])
    return math.exp(values[answer_position(evidence)] - top) / total


def aggregated(logprobs: Sequence[float], aggregation: Aggregation) -> float:
    """The log-probability that those of an answer's tokens come to; minus infinity where it is too small a number.

    Raises:
        EvidenceUnusable: there is no such aggregation.
    """
    if aggregation == "min":
        return min(logprobs)
    try:
        total = math.fsum(logprobs)
    except OverflowError:  # finite numbers near the end of the range: a probability of zero
        total = -math.inf
    if aggregation == "sum":
        return total
    if aggregation in ("mean", "none"):
        return total / len(logprobs)
    raise EvidenceUnusable(
        f"aggregation {aggregation!r} is unknown; it must be one of {', '.join(AGGREGATIONS)}"
    )


def answer_position(evidence: Evidence) -> int:
    """The position of the given answer in a vector: its index, or the first of the most likely classes."""
    if evidence.answer_index is not None:
        return evidence.answer_index
    return evidence.values.index(max(evidence.values))


def answer_is_top(evidence: Evidence) -> bool:
    """Whether the given answer is the model's most likely one; a tie counts as such.

    One score and token log-probabilities speak of the given answer alone, so there it is. The positive
    probability implies the other class's, so there the confidence must be at least one half.
    """
    kind = evidence.kind
    if kind == "score" or kind == "token_logprobs":
        return True
    if kind == "positive_probability":
        return raw_confidence(evidence) >= 0.5
    return evidence.answer_index is None or evidence.values[evidence.answer_index] >= max(evidence.values)


def candidates(evidence: Evidence) -> tuple[float, ...] | None:
    """The probability of each class, in the vector's order; None where the evidence is no vector."""
    if evidence.kind == "probabilities":
        return evidence.values
    if evidence.kind != "logits":
        return None
    top = max(evidence.values)
    weights = [math.exp(value - top) for value in evidence.values]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
