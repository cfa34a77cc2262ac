"""The retrain: from the ledger's labels to a registered challenger, the gate's verdict, and maybe promotion."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import calibrators
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy import model as policy_model
from sidecar.policy.actions import AUTOMATIC_ACTIONS
from sidecar.policy.loading import LoadedPolicy
from training import (
    bands,
    errors,
    evaluation,
    fitting,
    gate,
    labelled,
    registry,
    reliability,
    report,
    selection,
)
from training.dataset import Dataset
from training.labelled import LabelledDecisions

FIT_SHARE = 0.7
"""Of the labels, by time, that fit; the later ones judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a retrain came to.

    Attributes:
        name: the registered model.
        version: of the challenger; always registered, whatever the verdict.
        challenger: the calibrator.
        champion_version: what it was judged against; None where nothing is in force.
        decisions: the labels.
        chosen: how the kind was chosen.
        verdict: the gate's.
        before: on the held-out labels, under the champion (or raw).
        after: on the held-out labels, under the challenger.
        promoted: whether the alias was moved.
    """

    name: str
    version: str
    challenger: calibrators.Calibrator
    champion_version: str | None
    decisions: LabelledDecisions
    chosen: selection.Selection
    verdict: gate.Verdict
    before: evaluation.Evaluation
    after: evaluation.Evaluation
    promoted: bool


def retrain(
    ledger: Ledger,
    model: str,
    *,
    policy: LoadedPolicy | None = None,
    name: str | None = None,
    model_versions: tuple[str, ...] = (),
    pool: bool = False,
    since: float | None = None,
    promote: bool = False,
    by: str,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
) -> Retrained:
    """Fits a challenger on the earlier labels and judges it against the champion on the later ones.

    The challenger that is judged is the one that is registered: it is not fitted again on all labels, since
    then nothing would have been measured about it.

    Args:
        ledger: a snapshot.
        model: a key of the policy's models.
        policy: None takes the one that the newest decision was made under, from the ledger.
        name: the registered model; None takes it from the policy's calibrator.
        model_versions: see `labelled.build`.
        pool: see `labelled.build`.
        since: only decisions made at or after, in seconds since the epoch; None: all. After a change of the
            world, older labels speak of another one.
        promote: move `champion` if the gate accepts.
        by: who asks.
        seed: of folds and bootstraps.
        clock: seconds since the epoch.

    Raises:
        NotEnoughLabels: there are none, or all are of one time or group.
        RequestRefused: the policy does not fit.
        RegistryRefused: the registry cannot be used.
    """
    loaded = policy or policy_of(ledger, model)
    entry = loaded.policy.models.get(model)
    if entry is None:
        raise errors.RequestRefused(
            f"the policy has no model {model!r}; it has {', '.join(loaded.policy.models)}"
        )
    registered = name or _registered_name(entry)
    decisions = labelled.build(
        ledger.labelled(
            model,
            since=since,
            criterion=entry.criterion,
            label_window_seconds=loaded.policy.label_window,
        ),
        entry,
        model_versions=model_versions,
        pool=pool,
    )
    fit_on, judge_on = split_by_time(decisions.dataset)
    chosen = selection.select(fit_on, seed=seed)
    challenger = fitting.calibrator(
        chosen.fitted,
        fit_on,
        applies_to=calibrators.AppliesTo(
            model=model,
            model_versions=decisions.model_versions,
            evidence=entry.evidence,
            aggregation=entry.aggregated_by(),
            answer=fit_on.answer,
            criterion=entry.criterion,
        ),
        note=f"retrained; {chosen.reason}"[:500],
    )
    champion = registry.champion(registered)
    champion_confidence = None if champion is None else judge_on.confidence(champion[1])
    reference = judge_on.scores if champion_confidence is None else champion_confidence
    confidence = judge_on.confidence(challenger)
    cut = policy_bands(entry)
    verdict = gate.judge(
        champion_confidence,
        confidence,
        judge_on.correct,
        judge_on.weights,
        judge_on.groups,
        bands=cut,
        raw_confidence=judge_on.scores,
    )
    before, after = (
        evaluation.evaluate(
            values, judge_on.correct, judge_on.weights, groups=judge_on.groups, seed=seed, use_netcal=False
        )
        for values in (reference, confidence)
    )
    against = "raw confidence" if champion is None else f"champion, version {champion[0]}"
    figure = report.draw_reliability(
        reliability.reliability(reference, judge_on.correct, judge_on.weights),
        reliability.reliability(confidence, judge_on.correct, judge_on.weights),
        bands=cut,
        title=f"{registered}: held-out labels, weighted",
        names=(against, "challenger"),
    )
    window = judge_on.window
    version = registry.publish(
        challenger,
        name=registered,
        alias="challenger",
        tags={
            "gate": "accepted" if verdict.accept else "kept_champion",
            "gate_reasons": ", ".join(reason.code for reason in verdict.reasons),
            "data_digest": decisions.dataset.digest,
            "data_window": "{} to {}".format(*decisions.dataset.window),
            "policy_digest": loaded.digest,
            "champion_version": "none" if champion is None else champion[0],
        },
        metrics=_metrics(before, after, verdict),
        figures={"reliability.png": figure},
        documents={
            "selection.json": chosen.as_document(),
            "verdict.json": {
                "accept": verdict.accept,
                "reasons": [
                    {"code": reason.code, "text": reason.text, "blocking": reason.blocking}
                    for reason in verdict.reasons
                ],
                "statistics": verdict.statistics,
                "judged_on": {"from": window[0], "to": window[1], "labels": len(judge_on)},
                "left_out": decisions.left_out,
            },
            "policy.json": loaded.canonical,
        },
        description="\n".join(
            [f"Judged against the {against}: {'accepted' if verdict.accept else 'champion kept'}.", ""]
            + [f"* {reason.code}: {reason.text}" for reason in verdict.reasons]
        ),
        by=by,
        clock=clock,
    )
    if promote and verdict.accept:
        told = "; ".join(reason.text for reason in verdict.reasons)
        registry.promote(registered, version, by=by, reason=f"the gate accepted: {told}"[:1000], clock=clock)
    return Retrained(
        name=registered,
        version=version,
        challenger=challenger,
        champion_version=None if champion is None else champion[0],
        decisions=decisions,
        chosen=chosen,
        verdict=verdict,
        before=before,
        after=after,
        promoted=promote and verdict.accept,
    )


def split_by_time(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """The earlier 70 % of the labels, which fit, and the later ones, which judge.

    Decisions of one moment stay together. Groups may be on both sides: the verdict's variance is clustered by
    group, and a calibrator has too few parameters to learn a group by heart.

    Raises:
        NotEnoughLabels: all labels are of one moment.
    """
    if dataset.times is None:
        raise errors.RequestRefused("the labels carry no times, so they cannot be split by time")
    edge = float(np.quantile(dataset.times, FIT_SHARE, method="lower"))
    earlier = dataset.times <= edge
    if earlier.all() or not earlier.any():
        raise errors.NotEnoughLabels(
            "all labelled decisions are of one moment; later ones must judge the fit"
        )
    return dataset.take(earlier), dataset.take(~earlier)


def policy_bands(entry: policy_model.Model) -> tuple[bands.Band, ...]:
    """The bands of a model's policy, as the loop needs them."""
    upper = 1.0
    found = []
    for band in entry.bands:
        lower = float(band.from_)
        found.append(
            bands.Band(name=band.name, low=lower, high=upper, automatic=band.action in AUTOMATIC_ACTIONS)
        )
        upper = lower
    return tuple(found)


def _registered_name(entry: policy_model.Model) -> str:
    scheme, _, rest = entry.calibrator.partition("models:/")
    if scheme:
        raise errors.RequestRefused(
            f"the policy's calibrator is {entry.calibrator}, which is not in a registry: name the registered model "
            "with --name"
        )
    return rest.partition("@")[0].partition("/")[0]


def policy_of(ledger: Ledger, model: str) -> LoadedPolicy:
    """The policy that the model's newest decision was made under."""
    newest = ledger.decisions(model=model, page_size=1).items
    if not newest:
        raise errors.NotEnoughLabels(f"the ledger has no decision of model {model!r}: route some first")
    digest = newest[0].answers[-1].policy_digest
    artifact = ledger.artifact(digest)
    if artifact is None:
        raise errors.RequestRefused(
            f"the ledger does not have the policy {digest} yet: name the file with --policy"
        )
    return loading.parse(artifact.body, name=digest)


def _metrics(
    before: evaluation.Evaluation, after: evaluation.Evaluation, verdict: gate.Verdict
) -> dict[str, float]:
    metrics = {f"gate_{key}": value for key, value in verdict.statistics.items()}
    for prefix, measured in (("champion", before), ("challenger", after)):
        metrics |= {
            f"{prefix}_{key}": value for key, value in measured.measures().items() if isinstance(value, float)
        }
    return metrics
