"""The rule-based classifier: the first rule that matches answers, with a confidence it earned, or none."""

from collections.abc import Sequence
from dataclasses import dataclass

from calibrators.evidence import Evidence
from sidecar.policy.expressions import EvaluationFailed, Expression, Language
from sidecar.service.fallback.steps import Attempt, Question, StepCalibration

LEAST_SECONDS = 0.005
"""What must remain for rules to be tried: they take microseconds, but the answer must still be journaled."""

NO_SCORE = Evidence("score", (1.0,))
"""A rule has no score. This one goes into a calibrator that answers the same whatever it is given."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule ready to be asked."""

    name: str
    condition: Expression
    answer: str


class Rulebook:
    """The step `rules`."""

    def __init__(
        self, rules: Sequence[CompiledRule], language: Language, calibration: StepCalibration
    ) -> None:
        self._rules = tuple(rules)
        self._language = language
        self._calibration = calibration

    def budget(self, remaining_seconds: float | None) -> float | None:
        """No time worth counting, as long as there is any."""
        return None if remaining_seconds is not None and remaining_seconds < LEAST_SECONDS else 0.0

    def attempt(self, question: Question, budget_seconds: float) -> Attempt:  # noqa: ARG002 (as every step)
        """The answer of the first rule that matches.

        A rule that cannot be evaluated ends the step, FAILED with its code: whether it would have matched
        is not known, so no rule after it is the first one. The version of a rule, for its calibrator's
        `applies_to`, is its name.
        """
        try:
            values = self._language.bind(
                {
                    "category": question.category,
                    "predicted_class": question.predicted_class,
                    "raw_confidence": question.raw_confidence,
                    "calibrated_confidence": question.calibrated_confidence,
                    "attributes": question.attributes,
                }
            )
        except EvaluationFailed as error:
            return Attempt(outcome="FAILED", code=error.code)
        for rule in self._rules:
            try:
                matched = rule.condition.evaluate(values)
            except EvaluationFailed as error:
                return Attempt(outcome="FAILED", code=error.code, rule=rule.name)
            if matched:
                return self._answer(rule, question)
        return Attempt(outcome="NO_ANSWER")

    def _answer(self, rule: CompiledRule, question: Question) -> Attempt:
        in_force = question.calibrators.get(f"rules/{rule.name}")
        worth = self._calibration.worth(
            in_force, NO_SCORE, version=rule.name, category=question.category, now=question.now
        )
        return Attempt(
            outcome="ANSWERED",
            code=worth.code,
            rule=rule.name,
            answer_class=rule.answer,
            calibrated_confidence=worth.calibrated,
            lower_bound=worth.lower_bound,
            calibrator=None if in_force is None else in_force.reference,
        )
