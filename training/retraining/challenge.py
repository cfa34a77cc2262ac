"""A challenge: a challenger fitted to the earlier labels and judged against the champion on the later ones."""

from dataclasses import dataclass

import calibrators
from sidecar.policy import model as policy_model
from sidecar.policy import tables
from sidecar.policy.tables import ModelTable
from training import errors
from training.data import division
from training.data.dataset import Dataset
from training.fit import completion, fitting, selection
from training.measure.intervals import FloatArray
from training.retraining import gate, placement, promises
from training.retraining.gate import GateReason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Challenge:
    """What a challenge came to.

    Attributes:
        challenger: fitted to the earlier labels, and to nothing else.
        chosen: how its kind was chosen.
        verdict: the gate's.
        fit_on: what fitted it, labels that nobody drew included.
        judge_on: later drawn labels, which neither fit has seen.
        reference: (n,) what the champion says of them, or the raw confidence where there is none.
        confidence: (n,) what the challenger says.
    """

    challenger: calibrators.Calibrator
    chosen: selection.Selection
    verdict: gate.GateVerdict
    fit_on: Dataset
    judge_on: Dataset
    reference: FloatArray
    confidence: FloatArray


def challenge(
    dataset: Dataset,
    champion: calibrators.Calibrator | None,
    *,
    entry: policy_model.Model,
    applies_to: calibrators.AppliesTo,
    table: ModelTable | None = None,
    undrawn: Dataset | None = None,
    seed: int = 0,
) -> Challenge:
    """Fits a challenger, completes it, and judges it.

    The challenger that is judged is the one that is returned: it is not fitted again on all labels, since then
    nothing would have been measured about it.

    Args:
        dataset: drawn labels with times, weighted by their inverse inclusion probability.
        champion: in force; None: nothing is.
        entry: the model's policy, whose promises are checked.
        applies_to: what the challenger may serve.
        table: of the policy with its floors; None: of `entry` alone.
        undrawn: labels that nobody drew; the earlier ones fit, each with weight 1, and none judges.
        seed: of folds and bootstraps.

    Raises:
        NotEnoughLabels: nothing is left to judge: all labels are of one moment, or none is later than the
            champion's fit.
    """
    until = division.fitted_until(champion)
    fit_on, judge_on = division.by_time(dataset, at_least=until)
    set_aside = _set_aside(dataset, judge_on)
    judged_from = float(_times(judge_on).min())
    if undrawn is not None:
        earlier = _times(undrawn) < judged_from
        fit_on = fit_on.joined(undrawn.take(earlier)) if earlier.any() else fit_on
    chosen = selection.select(fit_on, seed=seed)
    challenger = completion.complete(
        fitting.calibrator(
            chosen.fitted, fit_on, applies_to=applies_to, note=f"retrained; {chosen.reason}"[:500]
        ),
        fit_on,
        offsets=applies_to.source == "primary",
        lower=entry.band_on == "lower_bound",
        seed=seed,
    )
    table = _table(entry, applies_to.model) if table is None else table
    champion_confidence = None if champion is None else judge_on.confidence(champion)
    confidence = judge_on.confidence(challenger)
    verdict = gate.judge(
        champion_confidence,
        confidence,
        judge_on.correct,
        judge_on.weights,
        judge_on.groups,
        raw_confidence=judge_on.scores,
        promised=promises.of_model(entry),
        before=None
        if champion_confidence is None
        else placement.place(table, champion_confidence, judge_on.categories, champion),
        after=placement.place(table, confidence, judge_on.categories, challenger),
        categories=judge_on.categories,
    ).with_reasons(_remarks(champion, until, set_aside, chosen, undrawn, len(fit_on)))
    return Challenge(
        challenger=challenger,
        chosen=chosen,
        verdict=verdict,
        fit_on=fit_on,
        judge_on=judge_on,
        reference=judge_on.scores if champion_confidence is None else champion_confidence,
        confidence=confidence,
    )


def _set_aside(dataset: Dataset, judge_on: Dataset) -> int:
    """How many labels fit that would have judged if the champion had not been fitted to later ones."""
    return len(division.by_time(dataset)[1]) - len(judge_on)


def _remarks(
    champion: calibrators.Calibrator | None,
    until: float | None,
    set_aside: int,
    chosen: selection.Selection,
    undrawn: Dataset | None,
    fitted: int,
) -> list[GateReason]:
    remarks = []
    if set_aside:
        text = f"{set_aside} labels from before the end of the champion's fit do not judge, and fit instead"
        remarks.append(GateReason(code="LABELS_SET_ASIDE", text=text))
    if champion is not None and until is None:
        text = "the champion's document does not say until when it was fitted: it may have seen these labels"
        remarks.append(GateReason(code="CHAMPION_WINDOW_UNKNOWN", text=text))
    if chosen.uninformative or chosen.fitted.uninformative:
        text = (
            "the score is uninformative: it does not rise with correctness, so a fit answers the base rate, and "
            "no calibrator can repair that"
        )
        # A first calibrator that knows the base rate alone would let everything act, or nothing.
        remarks.append(GateReason(code="SCORE_UNINFORMATIVE", text=text, blocking=champion is None))
    if undrawn is not None:
        text = (
            f"up to {len(undrawn)} of the {fitted} labels that fit were not drawn, as retrain.undrawn_labels "
            "permits: they are no sample of anything, so the fit may be biased; none of them judges"
        )
        remarks.append(GateReason(code="UNDRAWN_LABELS", text=text))
    return remarks


def _times(dataset: Dataset) -> FloatArray:
    if dataset.times is None:
        raise errors.RequestRefused("the labels carry no times, so they cannot be split by time")
    return dataset.times


def _table(entry: policy_model.Model, name: str) -> ModelTable:
    return tables.compile_policy(policy_model.Policy.model_construct(version=1, models={name: entry}))[name]
