"""The policy's section `fallback`: what is tried when an answer does not clear the automatic bands."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from calibrators.evidence import EvidenceKind
from sidecar.policy import expressions
from sidecar.policy.actions import Action
from sidecar.policy.fields import CalibratorUri, Duration, Strict, Word, as_tuple
from sidecar.policy.secondary import Input, Output, Tls, address, evidence_kind

MAX_RULES = 64
Words = Annotated[tuple[Word, ...], BeforeValidator(as_tuple)]
BandNames = Annotated[tuple[Word, ...], BeforeValidator(as_tuple), Field(min_length=1)]


def _condition(text: str) -> str:
    expressions.rule_language().compile(text)
    return text


def _share(value: float) -> float:
    if not 0.0 < value <= 1.0:
        raise ValueError("must be a share of the remaining time: above 0, at most 1")
    return value


def _timeout(seconds: float) -> float:
    if not 0.005 <= seconds <= 30.0:
        raise ValueError("must be between 5ms and 30s")
    return seconds


class Rule(Strict):
    """A condition, the class that it stands for, and what may happen then.

    The action that results is the stricter one of `action` and that of the band in which the rule's
    confidence lies. Without a calibrator that confidence is unknown, and the rule clears nothing.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    when: Annotated[str, AfterValidator(_condition)]
    answer: Annotated[str, Field(min_length=1, max_length=256)]
    action: Action = Field(Action.AUTO_ROUTE, strict=False)
    calibrator: CalibratorUri | None = None

    @model_validator(mode="after")
    def _an_action_to_ask_for(self) -> Self:
        if self.action is Action.UNCERTAIN:
            raise ValueError(
                "UNCERTAIN is what remains when nothing else is possible; a rule cannot ask for it"
            )
        return self


class RulesStep(Strict):
    """The rule-based classifier: the first rule that matches answers."""

    step: Literal["rules"]
    bands: BandNames | None = None
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=MAX_RULES)]

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules have the name {twice!r}")
        return self


class BreakerSettings(Strict):
    """After `failures` in a row the secondary model is left alone for `open_for`, then tried once."""

    failures: int = Field(5, ge=1, le=1000)
    open_for: Duration = 10.0


class SecondaryStep(Strict):
    """A second model behind the Open Inference Protocol.

    A call takes at most `deadline_share` of the time that the caller leaves, and never more than `timeout`.
    """

    step: Literal["secondary"]
    bands: BandNames | None = None
    address: Annotated[str, AfterValidator(address)]
    model: Word
    version: str = ""
    inputs: Annotated[tuple[Input, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=64)]
    output: Output
    classes: Words = ()
    calibrator: CalibratorUri | None = None
    deadline_share: Annotated[float, Field(allow_inf_nan=False), AfterValidator(_share)] = 0.5
    timeout: Annotated[Duration, AfterValidator(_timeout)] = 0.2
    breaker: BreakerSettings = BreakerSettings()
    tls: Tls | None = None

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [item.name for item in self.inputs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two inputs have the name {twice!r}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands twice")
        return self


class ReviewStep(Strict):
    """The review queue; always there, written or not."""

    step: Literal["review"]


class UncertainStep(Strict):
    """The structured answer that nothing was certain; always there, written or not."""

    step: Literal["uncertain"]


Step = Annotated[RulesStep | SecondaryStep | ReviewStep | UncertainStep, Field(discriminator="step")]
ORDER = ("rules", "secondary", "review", "uncertain")


def _complete(
    steps: tuple[RulesStep | SecondaryStep | ReviewStep | UncertainStep, ...],
) -> tuple[RulesStep | SecondaryStep | ReviewStep | UncertainStep, ...]:
    """The steps with `review` and `uncertain` at the end.

    Raises:
        ValueError: a step stands twice, or in another order than `ORDER`.
    """
    names = [step.step for step in steps]
    if any(names.count(name) > 1 for name in names):
        raise ValueError(f"a step stands twice: {', '.join(names)}")
    if names != [name for name in ORDER if name in names]:
        raise ValueError(f"the order is {', '.join(ORDER)}, not {', '.join(names)}")
    machine = tuple(step for step in steps if isinstance(step, RulesStep | SecondaryStep))
    return (*machine, ReviewStep(step="review"), UncertainStep(step="uncertain"))


Chain = Annotated[tuple[Step, ...], BeforeValidator(as_tuple), AfterValidator(_complete)]
"""The type of a model's key `fallback`."""

PERSON_ONLY = _complete(())
"""The chain without a machine step: its default."""


@dataclass(frozen=True, slots=True)
class StepTable:
    """What deciding needs to know of a machine step: the rest of the chain is in `sidecar.service.fallback`.

    `bands` are the names of the bands that it runs in, None for every one that does not act; `actions` are
    the mildest actions that its rules may lead to, by name.
    """

    step: Literal["rules", "secondary"]
    bands: frozenset[str] | None
    actions: Mapping[str, Action]


def compile_chain(chain: tuple[Step, ...]) -> tuple[StepTable, ...]:
    """The machine steps of a chain, in order."""
    return tuple(
        StepTable(
            step=step.step,
            bands=None if step.bands is None else frozenset(step.bands),
            actions=MappingProxyType(
                {rule.name: rule.action for rule in step.rules} if isinstance(step, RulesStep) else {}
            ),
        )
        for step in chain
        if isinstance(step, RulesStep | SecondaryStep)
    )


@dataclass(frozen=True, slots=True)
class StepCalibrator:
    """A calibrator that a chain names: where it comes from, and what it must have been fitted for.

    A rule's is a constant, fitted for its name as the only version: what one rule is worth says nothing of
    another.
    """

    uri: str
    evidence: EvidenceKind
    model_version: str = ""


def calibrators(chain: tuple[Step, ...]) -> dict[str, StepCalibrator]:
    """The calibrators that a chain names, by source: `rules/NAME` for a rule, `secondary` for the model."""
    named: dict[str, StepCalibrator] = {}
    for step in chain:
        if isinstance(step, RulesStep):
            for rule in step.rules:
                if rule.calibrator is not None:
                    named[f"rules/{rule.name}"] = StepCalibrator(rule.calibrator, "score", rule.name)
        elif isinstance(step, SecondaryStep) and step.calibrator is not None:
            named["secondary"] = StepCalibrator(step.calibrator, evidence_kind(step.output))
    return named


def require_fit(
    chain: tuple[Step, ...], *, automatic: frozenset[str], other: frozenset[str], classes: tuple[str, ...]
) -> None:
    """Checks a chain against the rest of its model.

    Args:
        chain: the steps.
        automatic: the names of bands that act, in whatever category.
        other: the names of bands that do not.
        classes: the model's.

    Raises:
        ValueError: a step names a band that does not exist or only ever acts, a rule answers with a class that
            the model does not have, or the secondary's output needs classes and there are none that fit.
    """
    for step in chain:
        if not isinstance(step, RulesStep | SecondaryStep):
            continue
        for band in step.bands or ():
            if band not in other:
                known = "acts by itself" if band in automatic else "does not exist"
                raise ValueError(
                    f"fallback: step {step.step} names band {band!r}, which {known}; it runs in: "
                    f"{', '.join(sorted(other)) or 'none'}"
                )
        if isinstance(step, RulesStep):
            for rule in step.rules:
                if classes and rule.answer not in classes:
                    raise ValueError(
                        f"fallback: rule {rule.name} answers {rule.answer!r}, which is none of the classes: "
                        f"{', '.join(classes)}"
                    )
        else:
            _require_classes(step, classes)


def _require_classes(step: SecondaryStep, classes: tuple[str, ...]) -> None:
    own = step.classes or classes
    unknown = [name for name in step.classes if classes and name not in classes]
    if unknown:
        raise ValueError(f"fallback: the secondary's class {unknown[0]!r} is none of the model's classes")
    if step.output.meaning in ("probabilities", "logits") and len(own) < 2:
        raise ValueError(
            f"fallback: output {step.output.meaning} needs classes: the names, in the order of the vector"
        )
    if step.output.meaning == "positive_probability" and (
        len(own) != 2 or step.output.positive_class not in own
    ):
        raise ValueError(
            "fallback: output positive_probability needs two classes, the positive one among them"
        )
