"""From labelled decisions in the ledger to a dataset that knows how each label came about."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrators import evidence as evidence_module
from sidecar.ledger.labelled import Labelled
from sidecar.policy.model import Model
from training import errors
from training.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledDecisions:
    """A dataset from the ledger, and what was left out of it.

    Attributes:
        dataset: one row a decision, oldest first; weights are inverse inclusion probabilities.
        model_versions: the versions that the labels speak for; None where the requests named none.
        left_out: how many labelled decisions were left out, by reason.
    """

    dataset: Dataset
    model_versions: tuple[str, ...] | None
    left_out: dict[str, int]


def build(
    labelled: Sequence[Labelled], policy: Model, *, model_versions: tuple[str, ...] = (), pool: bool = False
) -> LabelledDecisions:
    """The rows that can train a calibrator of the primary model's answers.

    Only labels that were drawn with a known probability count (a review of a hold: 1; an audit: the rate in
    force), weighted by its inverse: what people volunteer is not a sample of anything. Labels about another
    source's answer train that source. Versions of the model are never pooled unless that is asked for.

    Args:
        labelled: from the ledger.
        policy: of the model: which evidence, and how it is aggregated.
        model_versions: only these; empty: the one version that there is.
        pool: take all versions together, for a calibrator of any version.

    Raises:
        NotEnoughLabels: nothing is left.
        RequestRefused: there are several versions, and it was not said which.
    """
    left_out: Counter[str] = Counter()
    usable = []
    for each in labelled:
        reason = _unusable(each, policy)
        if reason:
            left_out[reason] += 1
        elif model_versions and each.decision.model_version not in model_versions:
            left_out["another model version"] += 1
        else:
            usable.append(each)
    found = sorted({each.decision.model_version for each in usable})
    if not usable:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "there is none"
        )
        raise errors.NotEnoughLabels(
            f"no labelled decision can train a calibrator ({reasons}): label the tasks that `ListTasks` shows"
        )
    if len(found) > 1 and not pool and not model_versions:
        shown = ", ".join(version or "(none)" for version in found)
        raise errors.RequestRefused(
            f"the labels are about several model versions ({shown}): name one with --model-version, or pool them "
            "with --any-version"
        )
    usable.sort(key=lambda each: (each.decision.decided_at, each.decision.decision_id))
    return LabelledDecisions(
        dataset=_dataset(usable, policy),
        model_versions=None if pool or found == [""] else tuple(version for version in found if version),
        left_out=dict(left_out),
    )


def _unusable(each: Labelled, policy: Model) -> str:
    decision = each.decision
    if each.about != "PRIMARY":
        return "about another source's answer"
    if not each.drawn or each.propensity is None:
        return "not drawn with a known probability"
    if decision.evidence.kind != policy.evidence or decision.raw_confidence is None:
        return "with evidence of another kind"
    if decision.evidence.truncated:
        return "of a truncated generation"
    return ""


def _dataset(usable: Sequence[Labelled], policy: Model) -> Dataset:
    decisions = [each.decision for each in usable]
    vectors = answers = None
    if policy.evidence in evidence_module.VECTOR_KINDS:
        vectors = np.array([decision.evidence.values for decision in decisions])
        if policy.evidence == "probabilities":
            # A calibrator of vectors takes log-probabilities as logits: softmax gives the same vector back.
            vectors = np.log(np.clip(vectors, 1e-300, None))
        answers = np.array(
            [
                int(np.argmax(decision.evidence.values))
                if decision.evidence.answer_index is None
                else decision.evidence.answer_index
                for decision in decisions
            ]
        )
    return Dataset.of(
        [decision.raw_confidence or 0.0 for decision in decisions],
        [float(each.correct) for each in usable],
        weights=[1.0 / (each.propensity or 1.0) for each in usable],
        evidence=policy.evidence,
        aggregation=policy.aggregated_by(),
        vectors=vectors,
        answers=answers,
        groups=[decision.group_key or decision.decision_id for decision in decisions],
        times=[decision.decided_at for decision in decisions],
    )
