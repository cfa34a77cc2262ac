"""What the caller is told: a decision, and the structured answer when nothing is certain."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from calibrators import evidence
from sidecar.decision.records import Decision
from sidecar.policy.tables import ModelTable
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.registry import CalibratorInForce

MOST_CANDIDATES = 5

# What parts of an answer take on the wire at most, without the names in them.
ANSWER_BYTES, CALIBRATOR_BYTES, STEP_BYTES, FLOOR_BYTES, CANDIDATE_BYTES = 420, 110, 160, 24, 28


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


def most_bytes(model: str, snapshot: Snapshot) -> int:
    """How many bytes an answer for a model can take on the wire, without the texts that the request gives it.

    It is told before anything is decided, so it counts whatever could be said: every step, and every floor.
    """
    table = snapshot.policy.tables.get(model)
    if table is None:
        return ANSWER_BYTES
    tables = (*table.listed.values(), table.unlisted)
    longest_class = _longest(table.class_index)
    steps = len(table.chain)
    rule = _longest(name for step in table.chain for name in step.actions)
    calibrators = [
        len(held.reference.name.encode()) + len(held.reference.version.encode()) + len(held.reference.kind)
        for (name, *_), held in snapshot.calibrators.items()
        if name == model
    ]
    category_floors = [
        hit.floor for each in tables for hit in (each.floor, *(hit for *_, hit in each.floored_ranges)) if hit
    ]
    floors = [detector.floor.floor for detector in snapshot.policy.detectors]
    floors += [f"suspension:{each.suspension_id}" for each in snapshot.suspensions]
    return (
        ANSWER_BYTES
        + longest_class
        + _longest(cell.name for each in tables for cell in each.cells)
        + (1 + steps) * (CALIBRATOR_BYTES + max(calibrators, default=0))
        + steps * (STEP_BYTES + rule + longest_class)
        + _longest(category_floors)
        + FLOOR_BYTES
        + sum(len(floor.encode()) + FLOOR_BYTES for floor in floors)
        + min(len(table.class_index) or 1, MOST_CANDIDATES) * (CANDIDATE_BYTES + longest_class)
    )


def _longest(names: Iterable[str]) -> int:
    return max((len(name.encode()) for name in names), default=0)


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
