"""What the caller is told: a decision, and the structured answer when nothing is certain."""

from dataclasses import dataclass

import msgspec

from calibrators import evidence
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


def uncertain(
    answer: Answer, table: ModelTable, in_force: CalibratorInForce | None, *, retry_after: float | None
) -> Answer:
    """The structured answer when no decision could be made safely: what is possible, and when to try again."""
    decision = answer.decision
    given, verdict = decision.query.evidence, decision.verdict
    probabilities = evidence.candidates(given) if given.kind == table.evidence else None
    if probabilities is None:
        candidates: tuple[Candidate, ...] = (
            Candidate(decision.final_class, verdict.raw_confidence, verdict.calibrated_confidence),
        )
    else:
        calibrated: tuple[float | None, ...] = (None,) * len(probabilities)
        if (
            in_force is not None
            and in_force.calibrator.takes_vector
            and verdict.calibrated_confidence is not None
        ):
            calibrated = tuple(
                in_force.calibrator.confidence(given._replace(answer_index=index), decision.query.category)
                for index in range(len(probabilities))
            )
        listed = zip(table.class_index, probabilities, calibrated, strict=True)
        candidates = tuple(
            Candidate(*item)
            for item in sorted(listed, key=lambda item: item[1], reverse=True)[:MOST_CANDIDATES]
        )
    return msgspec.structs.replace(answer, candidates=candidates, retry_after_seconds=retry_after)
