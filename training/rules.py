"""What each rule of a fallback chain is worth: the lower bound of its accuracy, measured on reviewed decisions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

import calibrators
from sidecar import dialect
from sidecar.ledger.labelled import Labelled
from sidecar.policy import fallback
from sidecar.policy.model import Model
from training import registry
from training.errors import RequestRefused
from training.measure import intervals

LEVEL = 0.95
LEAST_LABELS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAccuracy:
    """How often a rule was right where people looked.

    Attributes:
        rule: its name.
        n: decisions in which it answered and the truth is known.
        n_effective: Kish's effective number of them, by group.
        accuracy: weighted share in which it was right.
        lower: one end of the two-sided 95 % interval of Korn and Graubard: what the rule may claim.
    """

    rule: str
    n: int
    n_effective: float
    accuracy: float
    lower: float

    @property
    def is_enough(self) -> bool:
        """Whether there are enough labels to claim anything."""
        return self.n_effective >= LEAST_LABELS


@dataclass(frozen=True, slots=True)
class _Judged:
    right: bool
    weight: float
    group: str


def measure(labelled: Iterable[Labelled]) -> dict[str, RuleAccuracy]:
    """The accuracy of every rule that answered, by name.

    A rule is judged wherever the truth about the decision is known, whether it decided or not: a rule that is
    worth nothing yet never decides, and would never be worth anything. Only labels that were drawn with a
    known probability count, weighted by its inverse.
    """
    judged: dict[str, list[_Judged]] = {}
    seen: set[tuple[str, str]] = set()
    for label in labelled:
        if not label.drawn or label.propensity is None:
            continue
        step = next((step for step in label.decision.steps if step.step == "rules" and step.rule), None)
        if step is None or (label.decision.decision_id, step.rule) in seen:
            continue
        right = _was_right(label, step.answer_class)
        if right is not None:
            seen.add((label.decision.decision_id, step.rule))
            group = label.decision.query.group_key or label.decision.decision_id
            judged.setdefault(step.rule, []).append(_Judged(right, 1.0 / label.propensity, group))
    return {rule: _accuracy(rule, answers) for rule, answers in sorted(judged.items())}


def calibrator(model: str, accuracy: RuleAccuracy, *, criterion: str) -> calibrators.Calibrator:
    """The constant that a rule's answers are worth, bound to the model and the rule."""
    # What it claims is its lower bound already, so a policy that cuts bands on lower bounds can use it.
    curve = calibrators.LowerCurve(
        level=(1.0 + LEVEL) / 2.0,
        method="korn_graubard",
        confidences=(accuracy.lower,),
        bounds=(accuracy.lower,),
    )
    return calibrators.Calibrator(
        map=calibrators.Constant(accuracy.lower),
        lower=curve,
        applies_to=calibrators.AppliesTo(
            model=model,
            model_versions=(accuracy.rule,),
            source="rules",
            evidence="score",
            criterion=criterion,
        ),
        fit=calibrators.Fit(
            n=accuracy.n,
            n_effective=accuracy.n_effective,
            positives=accuracy.accuracy,
            distinct=1,
            window_from=None,
            window_to=None,
            data_digest=None,
            note="lower end of the 95 % Korn-Graubard interval of the rule's own accuracy",
        ),
    )


def publish(model: str, entry: Model, accuracy: RuleAccuracy, *, by: str) -> str:
    """Registers what a rule is worth under the name that the policy gives it, alias champion; the version.

    Raises:
        RequestRefused: the policy names no registered calibrator for the rule.
        RegistryRefused: the registry cannot be used.
    """
    named = fallback.calibrators(entry.fallback).get(f"rules/{accuracy.rule}")
    registered = None if named is None else dialect.registered(named.uri)
    if registered is None:
        raise RequestRefused(
            f"the policy names no registered calibrator for rule {accuracy.rule}: give it "
            "`calibrator: models:/NAME@champion`"
        )
    return registry.publish(
        calibrator(model, accuracy, criterion=entry.criterion),
        name=registered.name,
        alias=registry.CHAMPION,
        metrics={"n": float(accuracy.n), "accuracy": accuracy.accuracy, "lower": accuracy.lower},
        description=f"Rule {accuracy.rule}: right in {accuracy.accuracy:.1%} of {accuracy.n} reviewed decisions.",
        by=by,
    )


def _was_right(each: Labelled, answer: str) -> bool | None:
    """Whether the rule's answer was right; None where the label does not tell.

    A label that only says that another answer was wrong leaves open what would have been right.
    """
    if each.about == "RULE":
        return each.correct
    judged = each.decision.query.predicted_class if each.about == "PRIMARY" else each.decision.final_class
    if each.label.true_class is not None:
        return each.label.true_class == answer
    if each.correct:
        return judged == answer
    return False if judged == answer else None


def _accuracy(rule: str, answers: Sequence[_Judged]) -> RuleAccuracy:
    mean = intervals.weighted_mean(
        np.array([float(each.right) for each in answers]),
        np.array([each.weight for each in answers]),
        np.array([each.group for each in answers]),
    )
    lower, _ = intervals.korn_graubard(mean, LEVEL)
    return RuleAccuracy(
        rule=rule, n=mean.n, n_effective=mean.clusters_effective, accuracy=mean.mean, lower=lower
    )
