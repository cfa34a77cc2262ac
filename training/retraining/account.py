"""What a retrain puts into the registry: the challenger, with everything that the gate decided on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

import calibrators
from sidecar.policy import model as policy_model
from sidecar.policy.loading import LoadedPolicy
from training import registry
from training.data.labelled_decisions import LabelledDecisions
from training.measure import diagram, evaluation, reliability
from training.retraining import gate
from training.retraining.challenge import Challenge
from training.retraining.rerouting import Rerouted


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All that is told of a challenger.

    Attributes:
        name: the registered model.
        policy: that it was judged under.
        entry: of the model in it.
        decisions: the labels.
        made: the challenge.
        verdict: the gate's, with everything that it went by.
        champion_version: what it was judged against; None where nothing is in force.
        before: on the held-out labels, under the champion (or raw).
        after: on the held-out labels, under the challenger.
        rerouted: recent decisions under both, where they were routed again.
    """

    name: str
    policy: LoadedPolicy
    entry: policy_model.Model
    decisions: LabelledDecisions
    made: Challenge
    verdict: gate.GateVerdict
    champion_version: str | None
    before: evaluation.Evaluation
    after: evaluation.Evaluation
    rerouted: Rerouted | None

    @property
    def challenger(self) -> calibrators.Calibrator:
        """What is published."""
        return self.made.challenger

    @property
    def against(self) -> str:
        """What it was judged against, in words."""
        if self.champion_version is None:
            return "raw confidence"
        return f"champion, version {self.champion_version}"


def publish(account: Account, *, by: str, clock: Callable[[], float] = time.time) -> str:
    """Registers the challenger with its evidence, alias `challenger`; the version.

    Raises:
        RegistryRefused: the registry cannot be used.
    """
    verdict, decisions = account.verdict, account.decisions
    window = decisions.dataset.window
    tags = {
        "gate": verdict.outcome,
        "gate_reasons": ", ".join(reason.code for reason in verdict.reasons),
        "data_digest": decisions.dataset.digest,
        "data_window": "{} to {}".format(*window),
        "policy_digest": account.policy.digest,
        "champion_version": account.champion_version or "none",
    }
    if decisions.undrawn is not None:
        tags[registry.UNDRAWN_TAG] = str(len(decisions.undrawn))
    documents: dict[str, object] = {
        "selection.json": account.made.chosen.as_document(),
        "verdict.json": _verdict(account),
        "policy.json": account.policy.canonical,
    }
    if account.rerouted is not None:
        documents["rerouting.json"] = account.rerouted.as_document()
    told = {
        "accepted": "accepted",
        "needs_a_person": "a person must decide",
        "kept_champion": "champion kept",
    }
    return registry.publish(
        account.challenger,
        name=account.name,
        alias="challenger",
        tags=tags,
        metrics=_metrics(account),
        figures={"reliability.png": _figure(account)},
        documents=documents,
        description="\n".join(
            [f"Judged against the {account.against}: {told[verdict.outcome]}.", ""]
            + [f"* {reason.code}: {reason.text}" for reason in verdict.reasons]
        ),
        by=by,
        clock=clock,
    )


def _verdict(account: Account) -> dict[str, object]:
    judged_on = account.made.judge_on
    window = judged_on.window
    return {
        "accept": account.verdict.accept,
        "outcome": account.verdict.outcome,
        "reasons": [
            {"code": reason.code, "text": reason.text, "blocking": reason.blocking}
            for reason in account.verdict.reasons
        ],
        "statistics": account.verdict.statistics,
        "judged_on": {"from": window[0], "to": window[1], "labels": len(judged_on)},
        "left_out": account.decisions.left_out,
        "undrawn": 0 if account.decisions.undrawn is None else len(account.decisions.undrawn),
    }


def _figure(account: Account) -> Figure:
    made = account.made
    before, after = (
        reliability.reliability(confidence, made.judge_on.correct, made.judge_on.weights)
        for confidence in (made.reference, made.confidence)
    )
    return diagram.draw_reliability(
        before,
        after,
        bands=diagram.spans(account.entry.bands),
        title=f"{account.name}: held-out labels, weighted",
        names=(account.against, "challenger"),
    )


def _metrics(account: Account) -> dict[str, float]:
    metrics = {
        key if key.startswith("shift_") else f"gate_{key}": value
        for key, value in account.verdict.statistics.items()
    }
    for prefix, measured in (("champion", account.before), ("challenger", account.after)):
        metrics |= {
            f"{prefix}_{key}": value for key, value in measured.measures().items() if isinstance(value, float)
        }
    return metrics
