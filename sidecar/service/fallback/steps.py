"""What a step of the chain is asked, what it may answer, and how its answer gets a calibrated confidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from calibrators import applies_to
from calibrators.errors import EvidenceUnusable, TruebandError
from calibrators.evidence import Evidence
from sidecar.decision.steps import CalibratorReference
from sidecar.service.registry.slots import CalibratorInForce


class StepFailed(TruebandError):
    """A step has no answer; `code` is stable and short, and ends up in the decision's trace."""

    code = "STEP_FAILED"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.__dict__["code"] = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every step.

    Attributes:
        category: the request's category in its normal form.
        predicted_class: the primary's answer.
        raw_confidence: the primary's, in [0, 1].
        calibrated_confidence: the primary's, in [0, 1].
        attributes: the request's.
        context: the request's.
        calibrators: what is in force for the sources of this model: `rules/NAME` and `secondary`.
        now: seconds since the epoch.
    """

    category: str
    predicted_class: str
    raw_confidence: float | None
    calibrated_confidence: float | None
    attributes: Mapping[str, str | float | bool]
    context: Mapping[str, str]
    calibrators: Mapping[str, CalibratorInForce]
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a step made of a question.

    ANSWERED says nothing of whether the answer clears, which is judged elsewhere. Where the calibrated
    confidence is missing, `code` says why.
    """

    outcome: Literal["ANSWERED", "NO_ANSWER", "FAILED", "SKIPPED"]
    code: str = ""
    rule: str = ""
    answer_class: str = ""
    raw_confidence: float | None = None
    calibrated_confidence: float | None = None
    lower_bound: float | None = None
    calibrator: CalibratorReference | None = None


class Step(Protocol):
    """A machine step. One instance serves all threads."""

    def budget(self, remaining_seconds: float | None) -> float | None:
        """How many of the remaining seconds the step takes at most; None where that is too little."""
        ...

    def attempt(self, question: Question, budget_seconds: float) -> Attempt:
        """The step's answer, within the budget. Failures are values."""
        ...


class Worth(NamedTuple):
    """What an answer of a step is worth: its calibrated confidence, or the code of what stands in the way.

    `lower_bound` is there where the calibrator carries a lower curve.
    """

    calibrated: float | None
    lower_bound: float | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCalibration:
    """How the answers of one source are calibrated.

    Attributes:
        model: the policy's model, whose chain this is.
        source: `rules` or `secondary`.
        criterion: what counts as correct.
        stale_after_seconds: after so long without confirmation a calibrator clears nothing.
        require_constant: whether only a calibrator of kind `constant` will do: a rule has no score to map.
    """

    model: str
    source: Literal["rules", "secondary"]
    criterion: str
    stale_after_seconds: float
    require_constant: bool = False

    def worth(
        self,
        in_force: CalibratorInForce | None,
        evidence: Evidence,
        *,
        version: str,
        category: str,
        now: float,
    ) -> Worth:
        """What an answer is worth in a category (its normal form).

        NO_CALIBRATOR, EVIDENCE_MISMATCH, MODEL_VERSION_UNCALIBRATED, ANSWER_UNCALIBRATED or
        CALIBRATOR_STALE may stand in the way, as for the primary's answers.
        """
        if in_force is None:
            return Worth(None, code="NO_CALIBRATOR")
        calibrator = in_force.calibrator
        if self.require_constant and calibrator.kind != "constant":
            return Worth(None, code="EVIDENCE_MISMATCH")
        mismatch = applies_to.matches(
            calibrator.applies_to,
            model=self.model,
            model_version=version,
            source=self.source,
            evidence_kind=evidence.kind,
            aggregation="none",
            criterion=self.criterion,
            answer_is_top=True,
        )
        if mismatch is not None:
            return Worth(None, code=mismatch)
        if now - in_force.confirmed_at > self.stale_after_seconds:
            return Worth(None, code="CALIBRATOR_STALE")
        try:
            calibrated = calibrator.confidence(evidence, category)
        except EvidenceUnusable:
            return Worth(None, code="EVIDENCE_MISMATCH")
        return Worth(calibrated, calibrator.bound_of(calibrated))
