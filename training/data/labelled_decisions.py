"""From labelled decisions in the ledger to a dataset that knows how each label came about."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibrators import evidence as evidence_module
from sidecar.decision.records import Decision
from sidecar.decision.steps import FallbackStep
from sidecar.ledger.labelled import Labelled
from sidecar.policy.fallback import SecondaryStep
from sidecar.policy.model import Model
from sidecar.policy.secondary import evidence_kind
from training import errors
from training.data.dataset import Dataset

Source = Literal["primary", "secondary"]

ABOUT = {"primary": "PRIMARY", "secondary": "SECONDARY"}
NOT_DRAWN = "not drawn with a known probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledDecisions:
    """A dataset from the ledger, and what was left out of it.

    Attributes:
        dataset: one row a decision, oldest first; weights are inverse inclusion probabilities.
        undrawn: usable labels that nobody drew, each of weight 1, where they were asked for and there are any.
        model_versions: the versions that the labels speak for; None where the requests named none.
        left_out: how many labelled decisions were left out, by reason.
    """

    dataset: Dataset
    undrawn: Dataset | None = None
    model_versions: tuple[str, ...] | None
    left_out: dict[str, int]

    def told(self) -> str:
        """The reasons and their counts as part of a sentence; empty where nothing was left out."""
        return told(self.left_out)


def told(left_out: "dict[str, int] | Counter[str]") -> str:
    """Reasons and their counts as part of a sentence."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))


def build(
    labelled: Sequence[Labelled],
    policy: Model,
    *,
    source: Source = "primary",
    model_versions: tuple[str, ...] = (),
    pool: bool = False,
    undrawn: bool = False,
    elsewhere: Collection[str] = (),
) -> LabelledDecisions:
    """The rows that can train a calibrator of one source's answers.

    Only labels that were drawn with a known probability count (a review of a hold: 1; an audit: the rate in
    force), weighted by its inverse: what people volunteer is not a sample of anything. Labels train the source
    whose answer they are about, and no other. Versions of the model are never pooled unless that is asked for.

    Args:
        labelled: from the ledger.
        policy: of the model: which evidence, and how it is aggregated; for the secondary, its step.
        source: whose answers.
        model_versions: only these; empty: the one version that there is.
        pool: take all versions together, for a calibrator of any version.
        undrawn: give the labels that nobody drew, too, apart from the others.
        elsewhere: digests of policies under which another secondary model answered.

    Raises:
        NotEnoughLabels: nothing is left.
        RequestRefused: there are several versions, and it was not said which; or the policy has no secondary.
    """
    step = secondary(policy) if source == "secondary" else None
    left_out: Counter[str] = Counter()
    drawn: list[Labelled] = []
    others: list[Labelled] = []
    for label in labelled:
        reason = _unusable(label, policy, source)
        if not reason and step is not None and label.decision.provenance.policy_digest in elsewhere:
            reason = "answered by another secondary model"
        if not reason and step is None and model_versions:
            reason = "" if label.decision.query.model_version in model_versions else "another model version"
        if reason:
            left_out[reason] += 1
        elif label.drawn and label.propensity is not None:
            drawn.append(label)
        elif undrawn:
            others.append(label)
        else:
            left_out[NOT_DRAWN] += 1
    if not drawn:
        if others:
            left_out[NOT_DRAWN] += len(others)
        raise errors.NotEnoughLabels(
            f"no labelled decision can train and judge a calibrator ({told(left_out) or 'there is none'}): label "
            "the tasks that `ListTasks` shows"
        )
    if step is None:
        versions = _versions([*drawn, *others], model_versions, pool)
    else:
        versions = _secondary_version(step, pool)
    return LabelledDecisions(
        dataset=_dataset(drawn, policy, step),
        undrawn=_dataset(others, policy, step) if others else None,
        model_versions=versions,
        left_out=dict(left_out),
    )


def secondary(policy: Model) -> SecondaryStep:
    """The secondary model's step of a policy.

    Raises:
        RequestRefused: there is none.
    """
    for step in policy.fallback:
        if isinstance(step, SecondaryStep):
            return step
    raise errors.RequestRefused("the policy's fallback chain has no step secondary, so nothing to calibrate")


def _versions(
    usable: Sequence[Labelled], model_versions: tuple[str, ...], pool: bool
) -> tuple[str, ...] | None:
    versions = sorted({each.decision.query.model_version for each in usable})
    if len(versions) > 1 and not pool and not model_versions:
        shown = ", ".join(version or "(none)" for version in versions)
        raise errors.RequestRefused(
            f"the labels are about several model versions ({shown}): name one with --model-version, or pool them "
            "with --any-version"
        )
    return None if pool or versions == [""] else tuple(version for version in versions if version)


def _secondary_version(step: SecondaryStep, pool: bool) -> tuple[str, ...] | None:
    if pool:
        return None
    if not step.version:
        raise errors.RequestRefused(
            "the policy pins no version of the secondary model, so its labels may be about several: give the step "
            "a version, or pool them with --any-version"
        )
    return (step.version,)


def _unusable(each: Labelled, policy: Model, source: Source) -> str:
    decision = each.decision
    if each.about != ABOUT[source]:
        return "about another source's answer"
    if source == "secondary":
        step = _step(decision)
        return "without a confidence of the secondary" if step is None else ""
    if decision.query.evidence.kind != policy.evidence or decision.verdict.raw_confidence is None:
        return "with evidence of another kind"
    if decision.query.evidence.truncated:
        return "of a truncated generation"
    return ""


def _step(decision: Decision) -> FallbackStep | None:
    for step in decision.steps:
        if step.step == "secondary" and step.raw_confidence is not None:
            return step
    return None


def _dataset(usable: Sequence[Labelled], policy: Model, step: SecondaryStep | None) -> Dataset:
    usable = sorted(usable, key=lambda each: (each.decision.decided_at, each.decision.decision_id))
    decisions = [each.decision for each in usable]
    vectors = answers = None
    if step is None and policy.evidence in evidence_module.VECTOR_KINDS:
        vectors = np.array([decision.query.evidence.values for decision in decisions])
        if policy.evidence == "probabilities":
            # A calibrator of vectors takes log-probabilities as logits: softmax gives the same vector back.
            vectors = np.log(np.clip(vectors, 1e-300, None))
        answers = np.array(
            [
                int(np.argmax(decision.query.evidence.values))
                if decision.query.evidence.answer_index is None
                else decision.query.evidence.answer_index
                for decision in decisions
            ]
        )
    scores = [
        (decision.verdict.raw_confidence if step is None else _secondary_score(decision)) or 0.0
        for decision in decisions
    ]
    return Dataset.of(
        scores,
        [float(each.correct) for each in usable],
        weights=[1.0 / each.propensity if each.drawn and each.propensity else 1.0 for each in usable],
        evidence=policy.evidence if step is None else evidence_kind(step.output),
        aggregation=policy.aggregated_by() if step is None else "none",
        vectors=vectors,
        answers=answers,
        groups=[decision.query.group_key or decision.decision_id for decision in decisions],
        times=[decision.decided_at for decision in decisions],
        categories=[decision.query.category for decision in decisions],
    )


def _secondary_score(decision: Decision) -> float | None:
    step = _step(decision)
    return None if step is None else step.raw_confidence
