"""Whether the calibrated confidence means what it says: weighted to the decisions that it was given for."""

from dataclasses import dataclass

import numpy as np

from sidecar.ledger.labelled import Labelled
from sidecar.policy.actions import AnswerSource, Intent
from training.measure import evaluation, reliability
from training.measure.evaluation import Evaluation
from training.measure.intervals import FloatArray
from training.measure.reliability import ReliabilityCurve
from training.report.gathering import Gathered
from training.report.population import Population, did_act, in_window, sample_of

SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """The confidence in the primary model's answers, measured.

    Attributes:
        evaluation: the measures, weighted; None where no label tells of a confidence.
        curve: what a reliability diagram shows; None likewise.
        covered: the share of the decisions whose strata have such labels; the rest is not in the measures.
    """

    evaluation: Evaluation | None
    curve: ReliabilityCurve | None
    covered: float


def of_all(gathered: Gathered, population: Population) -> Calibration:
    """Over all decisions, held ones too: labels about the primary model's answer, whoever decided."""
    return _measured(gathered, population, acting=False)


def of_acting(gathered: Gathered, population: Population) -> Calibration:
    """Over the decisions that acted on the primary model's answer."""
    return _measured(gathered, population, acting=True)


def _measured(gathered: Gathered, population: Population, *, acting: bool) -> Calibration:
    versions = {key.model_version for key in population.keys}
    told = [
        each
        for each in gathered.labelled
        if each.about == "PRIMARY"
        and each.propensity is not None
        and each.drawn
        and each.decision.calibrated_confidence is not None
        and each.decision.intent is Intent.LIVE
        and each.decision.model_version in versions
        and in_window(each.decision, gathered)
        and (not acting or _acts(each, population))
    ]
    wanted = np.array(
        [not acting or (key.acted and key.source is AnswerSource.PRIMARY) for key in population.keys],
        dtype=bool,
    )
    sizes = population.sample.sizes
    total = float(sizes[wanted].sum())
    if not told or not total:
        return Calibration(evaluation=None, curve=None, covered=0.0)
    sample = sample_of(told, population.keys, sizes, observes=population.observes)
    confidence: FloatArray = np.array(
        [each.decision.calibrated_confidence for each in told], dtype=np.float64
    )
    labelled = np.bincount(sample.stratum, minlength=sizes.size) > 0
    return Calibration(
        evaluation=evaluation.evaluate(
            confidence, sample.correct, sample.weights, groups=sample.groups, seed=SEED, use_netcal=False
        ),
        curve=reliability.reliability(confidence, sample.correct, sample.weights),
        covered=float(sizes[wanted & labelled].sum()) / total,
    )


def _acts(each: Labelled, population: Population) -> bool:
    return each.decision.source is AnswerSource.PRIMARY and did_act(each.decision, population.observes)
