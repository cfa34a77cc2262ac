"""The account of a retrain: what it came to, and what of that goes into the registry with the challenger."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

import calibrators
from sidecar.policy import model as policy_model
from sidecar.policy.loading import LoadedPolicy
from training import registry
from training.data.labelled_decisions import LabelledDecisions
from training.fit import selection
from training.measure import diagram, evaluation, reliability
from training.retraining import gate
from training.retraining.challenge import Challenge
from training.retraining.rerouting import Rerouted


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a retrain came to.

    Attributes:
        name: the registered model.
        policy: that the challenger was judged under.
        entry: of the model in it.
        decisions: the labels.
        challenge: the fit, and what it was judged on.
        verdict: the gate's, with everything that it went by.
        champion_version: what it was judged against; None where nothing is in force.
        before: on the held-out labels, under the champion (or raw).
        after: on the held-out labels, under the challenger.
        rerouted: recent decisions under both; None for a secondary, whose answers were not asked again.
        version: of the challenger, which is registered whatever the verdict; empty until it is.
        promoted: whether the alias was moved.
    """

    name: str
    policy: LoadedPolicy
    entry: policy_model.Model
    decisions: LabelledDecisions
    challenge: Challenge
    verdict: gate.GateVerdict
    champion_version: str | None
    before: evaluation.Evaluation
    after: evaluation.Evaluation
    rerouted: Rerouted | None
    version: str = ""
    promoted: bool = False

    @property
    def challenger(self) -> calibrators.Calibrator:
        """What is published."""
        return self.challenge.challenger

    @property
    def chosen(self) -> selection.Selection:
        """How its kind was chosen."""
        return self.challenge.chosen

    @property
    def against(self) -> str:
        """What it was judged against, in words."""
        if self.champion_version is None:
            return "raw confidence"
        return f"champion, version {self.champion_version}"


def publish(retrained: Retrained, *, by: str, clock: Callable[[], float] = time.time) -> str:
    """Registers the challenger with its evidence, alias `challenger`; the version.

    Raises:
        RegistryRefused: the registry cannot be used.
    """
    verdict, decisions = retrained.verdict, retrained.decisions
    window = decisions.dataset.window
    tags = {
        "gate": verdict.outcome,
        "gate_reasons": ", ".join(reason.code for reason in verdict.reasons),
        "data_digest": decisions.dataset.digest,
        "data_window": "{} to {}".format(*window),
        "policy_digest": retrained.policy.digest,
        "champion_version": retrained.champion_version or "none",
    }
    if decisions.undrawn is not None:
        tags[registry.UNDRAWN_TAG] = str(len(decisions.undrawn))
    documents: dict[str, object] = {
        "selection.json": retrained.challenge.chosen.as_document(),
        "verdict.json": _verdict(retrained),
        "policy.json": retrained.policy.canonical,
    }
    if retrained.rerouted is not None:
        documents["rerouting.json"] = retrained.rerouted.as_document()
    words = {
        "accepted": "accepted",
        "needs_a_person": "a person must decide",
        "kept_champion": "champion kept",
    }
    return registry.publish(
        retrained.challenger,
        name=retrained.name,
        alias="challenger",
        tags=tags,
        metrics=_metrics(retrained),
        figures={"reliability.png": _figure(retrained)},
        documents=documents,
        description="\n".join(
            [f"Judged against the {retrained.against}: {words[verdict.outcome]}.", ""]
            + [f"* {reason.code}: {reason.text}" for reason in verdict.reasons]
        ),
        by=by,
        clock=clock,
    )


def _verdict(retrained: Retrained) -> dict[str, object]:
    judged_on = retrained.challenge.judge_on
    window = judged_on.window
    return {
        "accept": retrained.verdict.accept,
        "outcome": retrained.verdict.outcome,
        "reasons": [
            {"code": reason.code, "text": reason.text, "blocking": reason.blocking}
            for reason in retrained.verdict.reasons
        ],
        "statistics": retrained.verdict.statistics,
        "judged_on": {"from": window[0], "to": window[1], "labels": len(judged_on)},
        "left_out": retrained.decisions.left_out,
        "undrawn": 0 if retrained.decisions.undrawn is None else len(retrained.decisions.undrawn),
    }


def _figure(retrained: Retrained) -> Figure:
    challenge = retrained.challenge
    before, after = (
        reliability.reliability(confidence, challenge.judge_on.correct, challenge.judge_on.weights)
        for confidence in (challenge.reference, challenge.confidence)
    )
    return diagram.draw_reliability(
        before,
        after,
        bands=diagram.spans(retrained.entry.bands),
        title=f"{retrained.name}: held-out labels, weighted",
        names=(retrained.against, "challenger"),
    )


def _metrics(retrained: Retrained) -> dict[str, float]:
    metrics = {
        key if key.startswith("shift_") else f"gate_{key}": value
        for key, value in retrained.verdict.statistics.items()
    }
    for prefix, measured in (("champion", retrained.before), ("challenger", retrained.after)):
        metrics |= {
            f"{prefix}_{key}": value for key, value in measured.measures().items() if isinstance(value, float)
        }
    return metrics
