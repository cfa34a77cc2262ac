"""Routes a history: every row is decided by the function that decides live, and drawn as it would be."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calibrators import AppliesTo, Calibrator
from calibrators.evidence import Evidence
from sidecar.decision import draws
from sidecar.decision.decide import RequestFloors, decide
from sidecar.decision.query import Query
from sidecar.decision.suspensions import Suspension
from sidecar.policy import fallback, floors_file
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, TaskKind
from sidecar.policy.floors_file import Floors
from sidecar.policy.model import Model, Policy
from sidecar.policy.tables import ModelTable
from training import errors
from training.data.dataset import Dataset
from training.measure.intervals import FloatArray, IntArray

NO_BAND = ""
"""Of decisions without a calibrated confidence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """n answers, oldest first.

    Attributes:
        times: (n,) seconds since the epoch, not decreasing.
        scores: (n,) confidence in the given answer, in [0, 1].
        correct: (n,) whether it was right.
        categories: (n,) names in normal form; empty where the history has none.
        groups: (n,) keys of answers that depend on each other; None: there are none.
    """

    times: FloatArray
    scores: FloatArray
    correct: npt.NDArray[np.bool_]
    categories: npt.NDArray[np.object_]
    groups: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return int(self.times.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routed:
    """Decisions on m consecutive rows of a history.

    Attributes:
        rows: (m,) their positions.
        confidence: (m,) calibrated; NaN where there was none.
        bands: (m,) names; empty where there was none.
        actions: (m,) of `Action`.
        audit_rate: (m,) the planned propensity of the draw.
        drawn: (m,) for audit.
        batch: (m,) looked at on the next day.
    """

    rows: IntArray
    confidence: FloatArray
    bands: npt.NDArray[np.object_]
    actions: npt.NDArray[np.object_]
    audit_rate: FloatArray
    drawn: npt.NDArray[np.bool_]
    batch: npt.NDArray[np.bool_]

    @property
    def acted(self) -> npt.NDArray[np.bool_]:
        """(m,) whether the answer acted."""
        return np.isin(self.actions, list(AUTOMATIC_ACTIONS))

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """(m,) whether a person decided before any action."""
        return np.isin(self.actions, [Action.HOLD_FOR_REVIEW, Action.ESCALATE])


def history_of(dataset: Dataset) -> History:
    """The history that a labelled file tells.

    Args:
        dataset: with times.

    Raises:
        DataRefused: there are no times, or all are the same.
    """
    if dataset.times is None:
        raise errors.DataRefused("a history needs a time in each row: name its column with --time-column")
    if dataset.times.min() == dataset.times.max():
        raise errors.DataRefused(
            "every row of the history has the same time: there is nothing to live through"
        )
    order = np.argsort(dataset.times, kind="stable")
    names = [""] * len(dataset) if dataset.categories is None else dataset.categories[order].tolist()
    return History(
        times=dataset.times[order],
        scores=dataset.scores[order],
        correct=dataset.correct[order] == 1.0,
        categories=np.array(names, dtype=object),
        groups=None if dataset.groups is None else dataset.groups[order],
    )


def table_of(policy: Policy, model: str, floors: Floors | None = None) -> ModelTable:
    """The model's table for a history, which has scores and nothing else.

    What the policy says about other evidence, about versions, about the fallback chain and about observing is
    left out: a history has no inputs for a secondary model or a rule, and what it shows is what would act.
    """
    entry = policy.models[model].model_copy(
        update={
            "evidence": "score",
            "aggregation": None,
            "mode": "enforce",
            "model_version": "any",
            "versions": {},
            "fallback": fallback.PERSON_ONLY,
        }
    )
    scored = policy.model_copy(update={"models": {model: entry}})
    return floors_file.merge(scored, floors)[model]


def serving(calibrator: Calibrator, model: str, entry: Model) -> Calibrator:
    """A calibrator as it would serve a history, whatever model and versions it was fitted for.

    Raises:
        RequestRefused: it takes vectors, which a history does not have.
    """
    if calibrator.takes_vector:
        raise errors.RequestRefused(
            "the calibrator takes logits, and a history has scores: begin with one of scores, or with none"
        )
    serves = AppliesTo(model=model, model_versions=None, evidence="score", criterion=entry.criterion)
    return dataclasses.replace(calibrator, applies_to=serves)


def route(
    history: History,
    rows: IntArray,
    table: ModelTable,
    calibrator: Calibrator | None,
    *,
    key: bytes,
    audit_rate: float | None = None,
    brake: Sequence[Suspension] = (),
) -> Routed:
    """The decisions on some rows, under one policy and one calibrator.

    Args:
        history: what happened.
        rows: (m,) positions.
        table: of the model.
        calibrator: None: there is none yet, and everything is held.
        key: of the draws.
        audit_rate: in place of the policy's, wherever it draws at all.
        brake: suspensions in force.
    """
    count, floors = rows.size, RequestFloors(suspensions=tuple(brake))
    confidence, rates = np.full(count, np.nan), np.zeros(count)
    bands, actions = np.full(count, NO_BAND, dtype=object), np.empty(count, dtype=object)
    drawn, batch = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    scores = history.scores[rows].tolist()
    for place, (row, score, category) in enumerate(
        zip(rows.tolist(), scores, history.categories[rows], strict=True)
    ):
        query = Query(model=table.name, evidence=Evidence("score", (score,)), category=category)
        verdict = decide(query, table, calibrator, floors, stale_seconds=0.0)
        rate = verdict.audit_rate
        if audit_rate is not None and rate > 0.0:
            rate = audit_rate
        actions[place], bands[place], rates[place] = verdict.action, verdict.band, rate
        if verdict.calibrated_confidence is not None:
            confidence[place] = verdict.calibrated_confidence
        drawn[place] = rate > 0.0 and draws.audit_draw(key, f"row-{row}") < rate
        batch[place] = TaskKind.BATCH in verdict.tasks
    return Routed(
        rows=rows,
        confidence=confidence,
        bands=bands,
        actions=actions,
        audit_rate=rates,
        drawn=drawn,
        batch=batch,
    )
