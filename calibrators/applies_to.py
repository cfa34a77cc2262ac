"""What a calibrator was fitted for, and whether a request is of that kind."""

from dataclasses import dataclass
from typing import Literal, get_args

from calibrators import checks
from calibrators.errors import CalibratorRefused
from calibrators.evidence import (
    AGGREGATIONS,
    EVIDENCE_KINDS,
    Aggregation,
    EvidenceKind,
    effective_aggregation,
)

Source = Literal["primary", "secondary", "rules"]
Answer = Literal["argmax", "given"]
Mismatch = Literal["MODEL_VERSION_UNCALIBRATED", "EVIDENCE_MISMATCH", "ANSWER_UNCALIBRATED"]

SOURCES: tuple[Source, ...] = get_args(Source)
ANSWERS: tuple[Answer, ...] = get_args(Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliesTo:
    """The requests that a calibrator was fitted for; part of its digested document.

    Attributes:
        model: the model's name.
        model_versions: its versions; None means any.
        source: whose evidence it calibrates.
        evidence: the kind of evidence.
        aggregation: how token log-probabilities become one ("none" stands for their default, "mean", and is
            stored as that); always "none" for other evidence.
        answer: "argmax" if it was fitted on most likely answers only, and so serves no other given answer.
        criterion: what counted as correct.

    Raises:
        CalibratorRefused: a field has none of its permitted values.
    """

    model: str
    model_versions: tuple[str, ...] | None
    source: Source = "primary"
    evidence: EvidenceKind
    aggregation: Aggregation = "none"
    answer: Answer = "given"
    criterion: str = "correct"

    def __post_init__(self) -> None:
        checks.text(self.model, "applies_to.model")
        checks.text(self.criterion, "applies_to.criterion")
        checks.member(self.source, SOURCES, "applies_to.source")
        checks.member(self.evidence, EVIDENCE_KINDS, "applies_to.evidence")
        checks.member(self.aggregation, AGGREGATIONS, "applies_to.aggregation")
        checks.member(self.answer, ANSWERS, "applies_to.answer")
        if self.model_versions is not None:
            if isinstance(self.model_versions, str) or not self.model_versions:
                raise CalibratorRefused(
                    "applies_to.model_versions must list at least one version; None stands for any",
                    code="DOCUMENT_MALFORMED",
                )
            for position, version in enumerate(self.model_versions):
                checks.text(version, f"applies_to.model_versions[{position}]")
            object.__setattr__(self, "model_versions", tuple(self.model_versions))
        if self.evidence != "token_logprobs" and self.aggregation != "none":
            raise CalibratorRefused(
                f"applies_to.aggregation is {self.aggregation}, but only token_logprobs evidence "
                "is aggregated: leave it out, or write none",
                code="DOCUMENT_MALFORMED",
            )
        in_force = effective_aggregation(self.evidence, self.aggregation)
        object.__setattr__(self, "aggregation", in_force)


def matches(
    applies_to: AppliesTo | None,
    *,
    model: str,
    model_version: str,
    source: Source,
    evidence_kind: EvidenceKind,
    aggregation: Aggregation,
    criterion: str,
    answer_is_top: bool,
) -> Mismatch | None:
    """Why a calibrator does not serve a request, or None when it does.

    Without `applies_to` (a document written by hand) it serves none. An unversioned request (`model_version`
    is "") is served only where any version is; whether the policy lets it in is the caller's question.
    """
    if (
        applies_to is None
        or applies_to.model != model
        or applies_to.source != source
        or applies_to.evidence != evidence_kind
        or applies_to.aggregation != effective_aggregation(evidence_kind, aggregation)
        or applies_to.criterion != criterion
    ):
        return "EVIDENCE_MISMATCH"
    if applies_to.model_versions is not None and model_version not in applies_to.model_versions:
        return "MODEL_VERSION_UNCALIBRATED"
    if applies_to.answer == "argmax" and not answer_is_top:
        return "ANSWER_UNCALIBRATED"
    return None
