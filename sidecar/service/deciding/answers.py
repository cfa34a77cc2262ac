"""From a query's evidence to named classes, and the structured answer when nothing is certain."""

import dataclasses
from dataclasses import dataclass

import msgspec

from calibrators import evidence
from calibrators.evidence import Evidence
from sidecar import errors
from sidecar.decision.query import Query
from sidecar.decision.records import Decision
from sidecar.policy.tables import ModelTable
from sidecar.service.registry import CalibratorInForce

MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer, with what is known of its confidence."""

    answer_class: str
    raw_confidence: float | None
    calibrated_confidence: float | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is told to the caller."""

    decision: Decision
    replayed: bool = False
    candidates: tuple[Candidate, ...] = ()
    retry_after_seconds: float | None = None

    def as_replay(self) -> "Answer":
        """The same answer, marked as one given before."""
        return msgspec.structs.replace(self, replayed=True)


def tie_to_classes(query: Query, table: ModelTable) -> tuple[Evidence, str]:
    """The evidence tied to the position of the given answer, and the name of that answer.

    Vectors and positive probabilities mean nothing without the policy's `classes`; evidence of another kind
    than the policy's is left as it is, since it will hold.

    Raises:
        errors.InvalidRequest: the vector's length or the class does not fit the policy's `classes`.
    """
    given = query.evidence
    if given.kind == "score" or given.kind != table.evidence:
        return given, query.predicted_class
    if given.kind == "positive_probability":
        return _tie_binary(query, table)
    if given.kind == "token_logprobs":
        return given, query.predicted_class
    names = table.class_index
    if len(given.values) != len(names):
        raise _invalid(
            f"evidence.{given.kind}.values",
            f"has {len(given.values)} numbers; the policy lists {len(names)} classes: {', '.join(names)}",
        )
    if not query.predicted_class:
        index = max(range(len(given.values)), key=given.values.__getitem__)
        return dataclasses.replace(given, answer_index=index), tuple(names)[index]
    position = names.get(query.predicted_class)
    if position is None:
        raise _invalid("predicted_class", f"is none of the policy's classes: {', '.join(names)}")
    return dataclasses.replace(given, answer_index=position), query.predicted_class


def uncertain(
    decision: Decision, table: ModelTable, in_force: CalibratorInForce | None, *, retry_after: float | None
) -> Answer:
    """The structured answer when no decision could be made safely: what is possible, and when to try again."""
    given = decision.evidence
    probabilities = evidence.candidates(given) if given.kind == table.evidence else None
    if probabilities is None:
        candidates: tuple[Candidate, ...] = (
            Candidate(decision.final_class, decision.raw_confidence, decision.calibrated_confidence),
        )
    else:
        calibrated: tuple[float | None, ...] = (None,) * len(probabilities)
        if (
            in_force is not None
            and in_force.calibrator.takes_vector
            and decision.calibrated_confidence is not None
        ):
            calibrated = tuple(
                in_force.calibrator.confidence(
                    dataclasses.replace(given, answer_index=index), decision.category
                )
                for index in range(len(probabilities))
            )
        listed = zip(table.class_index, probabilities, calibrated, strict=True)
        candidates = tuple(
            Candidate(*item)
            for item in sorted(listed, key=lambda item: item[1], reverse=True)[:MOST_CANDIDATES]
        )
    return Answer(decision=decision, candidates=candidates, retry_after_seconds=retry_after)


def _tie_binary(query: Query, table: ModelTable) -> tuple[Evidence, str]:
    names = tuple(table.class_index)
    positive = query.positive_class or (names[-1] if len(names) == 2 else "")
    if not positive:
        raise _invalid(
            "evidence.positive_probability.positive_class",
            "is needed where the policy does not list two `classes`",
        )
    if names and positive not in names:
        raise _invalid("evidence.positive_probability.positive_class", f"is none of: {', '.join(names)}")
    if names and query.predicted_class and query.predicted_class not in names:
        raise _invalid("predicted_class", f"is none of the policy's classes: {', '.join(names)}")
    if query.predicted_class:
        is_positive = query.predicted_class == positive
        return dataclasses.replace(query.evidence, answer_is_positive=is_positive), query.predicted_class
    is_positive = query.evidence.values[0] >= 0.5
    negative = (
        next((name for name in names if name != positive), f"not {positive}") if names else f"not {positive}"
    )
    return dataclasses.replace(
        query.evidence, answer_is_positive=is_positive
    ), positive if is_positive else negative


def _invalid(field: str, description: str) -> errors.InvalidRequest:
    return errors.InvalidRequest((errors.Violation(field, description),))
