"""Where a recorded decision would go under another policy: decided again from its stored inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

from calibrators import Calibrator
from sidecar.decision import conclusion, recompute, suspensions
from sidecar.decision.difference import Side
from sidecar.decision.records import Decision
from sidecar.policy import detectors, floors_file
from sidecar.policy.actions import AUTOMATIC_ACTIONS, AnswerSource
from sidecar.policy.detectors import CompiledDetector
from sidecar.policy.tables import ModelTable

UNKNOWN_MODEL = "no decision: the policy does not have the model"
ANSWERED = frozenset({"CLEARED", "NOT_CLEARED", "NO_ANSWER", "FAILED"})


@dataclass(frozen=True, slots=True)
class Compiled:
    """A side, compiled once for many decisions."""

    tables: Mapping[str, ModelTable]
    detectors: tuple[CompiledDetector, ...]


def compile_side(side: Side) -> Compiled:
    """The side's tables and detectors."""
    floors = None if side.floors is None else side.floors.floors
    return Compiled(side.tables(), floors_file.compiled_detectors(side.policy.policy, floors))


def outcome(decision: Decision, calibrator: Calibrator | None, side: Compiled) -> str:
    """Where the answer goes, in words: the action, and what else decides what becomes of it.

    Detectors read the recorded context again; suspensions bind as they did; a fallback step counts with what
    it answered then, and one that was not asked then is named, since nobody knows what it would have said.
    """
    table = side.tables.get(decision.model)
    if table is None:
        return UNKNOWN_MODEL
    binding = (
        *detectors.hits(side.detectors, decision.context),
        *suspensions.recorded(decision.floors),
    )
    concluded = recompute.again(decision, table, calibrator, binding)
    verdict = concluded.verdict
    text = str(verdict.action)
    if concluded.source is not AnswerSource.PRIMARY:
        text += f" by {concluded.source.lower()}"
    elif unasked := _unasked(decision, table, concluded):
        text += f", unless {' or '.join(unasked)} clears it"
    if verdict.action in AUTOMATIC_ACTIONS and not verdict.may_act:
        text += " (not enforced)"
    return text


def _unasked(decision: Decision, table: ModelTable, concluded: conclusion.Conclusion) -> list[str]:
    """The machine steps that the policy would ask and that were not asked when this was decided."""
    verdict = concluded.verdict
    if verdict.action in AUTOMATIC_ACTIONS or conclusion.barred(verdict):
        return []
    asked = {step.step for step in decision.steps if step.outcome in ANSWERED}
    listed = conclusion.steps_of(verdict, table.chain, table.category(decision.category))
    return [step.step for step in listed if step.step not in asked]
