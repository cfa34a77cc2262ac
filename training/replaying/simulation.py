"""Lives through a history: routes, draws, labels, watches and refits, step by step, as it would have been."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

import calibrators
from calibrators import Calibrator
from sidecar.policy.model import Model
from sidecar.policy.tables import ModelTable
from training import challenge, errors
from training.dataset import Dataset
from training.intervals import FloatArray, IntArray
from training.replaying import routing, watching
from training.replaying.history import History
from training.replaying.routing import Routed
from training.replaying.watching import Raised, Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the past is lived through.

    Attributes:
        model: its name in the policy.
        entry: what the policy says about it.
        table: the same, compiled for a history.
        calibrator: the one to begin with; None: there is none, and everything is held until the first fit.
        key: 32 bytes, of the draws.
        seed: of folds.
        audit_rate: in place of the policy's; None: the policy's.
        retrain_seconds: between two retrains.
        label_seconds: from a decision to its label.
        label_window_seconds: older labels do not fit; None: all do.
    """

    model: str
    entry: Model
    table: ModelTable
    calibrator: Calibrator | None
    key: bytes
    seed: int = 0
    audit_rate: float | None = None
    retrain_seconds: float
    label_seconds: float
    label_window_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A retrain and what the gate said.

    Attributes:
        at: when, in seconds since the epoch.
        labels: that it had.
        kind: of the challenger; empty where there was none.
        promoted: whether it replaced the champion.
        told: the reasons, or why there was no challenger.
    """

    at: float
    labels: int
    kind: str
    promoted: bool
    told: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One interval between two retrains.

    Attributes:
        routed: the decisions in it.
        epoch: how many calibrators had been promoted before it.
        alarms: that were raised at its end, from the labels that had become known by then.
        retrain: at its end; None: it was the last one.
    """

    routed: Routed
    epoch: int
    alarms: tuple[Raised, ...]
    retrain: Retrain | None


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    """Labels by the time at which they become known: rows, propensities, times."""

    rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    propensity: FloatArray = field(default_factory=lambda: np.empty(0))
    known_at: FloatArray = field(default_factory=lambda: np.empty(0))

    def with_those_of(self, routed: Routed, history: History, delay: float) -> "_Labels":
        held, drawn = routed.held, routed.drawn & ~routed.held
        asked = held | drawn
        rows = routed.rows[asked]
        propensity = np.where(held[asked], 1.0, routed.audit_rate[asked])
        return _Labels(
            np.concatenate((self.rows, rows)),
            np.concatenate((self.propensity, propensity)),
            np.concatenate((self.known_at, history.times[rows] + delay)),
        )

    def known(self, by: float) -> "_Labels":
        kept = self.known_at <= by
        return _Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])

    def decided_after(self, moment: float, history: History) -> "_Labels":
        kept = history.times[self.rows] > moment
        return _Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])


def live(history: History, plan: Plan) -> Iterator[Step]:
    """The steps of the past, one after the other.

    Labels are those that the loop would have had: of every answer that a person looked at before it acted,
    and of every one that was drawn for audit. Whatever else the history knows is for the table alone.
    """
    calibrator, epoch = plan.calibrator, 0
    labels, watched = _Labels(), Watched()
    start, end = float(history.times[0]), float(history.times[-1])
    while start <= end:
        stop = start + plan.retrain_seconds
        first, last = np.searchsorted(history.times, (start, stop))
        routed = routing.route(
            history,
            np.arange(first, last),
            plan.table,
            calibrator,
            key=plan.key,
            audit_rate=plan.audit_rate,
        )
        labels = labels.with_those_of(routed, history, plan.label_seconds)
        watched, alarms = _watch(watched, routed, history, plan, calibrator, stop)
        if stop > end:
            yield Step(routed=routed, epoch=epoch, alarms=alarms, retrain=None)
            return
        known = labels.known(stop)
        if plan.label_window_seconds is not None:
            known = known.decided_after(stop - plan.label_window_seconds, history)
        told, challenger = _retrain(history, known, plan, calibrator, stop)
        yield Step(routed=routed, epoch=epoch, alarms=alarms, retrain=told)
        if challenger is not None:
            # Another champion starts other streams; a label of an answer under the old one says nothing of it.
            calibrator, epoch, watched = challenger, epoch + 1, Watched()
        start = stop


def _watch(
    watched: Watched,
    routed: Routed,
    history: History,
    plan: Plan,
    calibrator: Calibrator | None,
    by: float,
) -> tuple[Watched, tuple[Raised, ...]]:
    if calibrator is None:
        return watched, ()
    asked = watching.asked(
        routed,
        history,
        model=plan.model,
        entry=plan.entry,
        calibrator=calibrator.digest,
        delay=plan.label_seconds,
    )
    expecting = replace(watched, waiting=(*watched.waiting, *asked))
    return watching.look(expecting, rate=plan.entry.watch.false_alarm_rate, by=by)


def _retrain(
    history: History, known: _Labels, plan: Plan, champion: Calibrator | None, at: float
) -> tuple[Retrain, Calibrator | None]:
    order = np.argsort(history.times[known.rows], kind="stable")
    rows, propensity = known.rows[order], known.propensity[order]
    told = Retrain(at=at, labels=int(rows.size), kind="", promoted=False, told="")
    if not rows.size:
        return replace(told, told="there is no label yet"), None
    dataset = Dataset.of(
        history.scores[rows],
        history.correct[rows].astype(np.float64),
        weights=1.0 / propensity,
        groups=None if history.groups is None else history.groups[rows],
        times=history.times[rows],
        categories=history.categories[rows] if history.categories.any() else None,
    )
    applies_to = calibrators.AppliesTo(
        model=plan.model, model_versions=None, evidence="score", criterion=plan.entry.criterion
    )
    try:
        made = challenge.challenge(
            dataset,
            champion,
            entry=plan.entry,
            applies_to=applies_to,
            table=plan.table,
            seed=plan.seed,
        )
    except errors.NotEnoughLabels as error:
        return replace(told, told=str(error)), None
    reasons = "; ".join(
        reason.text for reason in made.verdict.reasons if reason.blocking or made.verdict.accept
    )
    told = replace(told, kind=made.chosen.kind, promoted=made.verdict.accept, told=reasons)
    return told, made.challenger if made.verdict.accept else None
