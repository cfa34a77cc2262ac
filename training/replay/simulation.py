"""Lives through a history: routes, draws, labels, watches and refits, step by step, as it would have been."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

import calibrators
from calibrators import Calibrator
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy.actions import AUTOMATIC_ACTIONS, AnswerSource
from sidecar.policy.model import Model
from sidecar.policy.tables import ModelTable
from training import errors
from training.data.dataset import Dataset
from training.measure.intervals import FloatArray, IntArray
from training.replay import routing
from training.replay.routing import History, Routed
from training.retraining import challenge
from training.watch import alarm_rules, score_shift, streams
from training.watch.alarm_rules import States
from training.watch.score_shift import ScoreShift
from training.watch.state import Alarm
from training.watch.streams import Observation, Stream


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


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of m rows.

    Attributes:
        rows: (m,) positions in the history.
        propensity: (m,) with which each was planned.
        known_at: (m,) seconds since the epoch.
    """

    rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    propensity: FloatArray = field(default_factory=lambda: np.empty(0))
    known_at: FloatArray = field(default_factory=lambda: np.empty(0))

    def with_those_of(self, routed: Routed, history: History, delay: float) -> "Labels":
        """These, and those that decisions ask for: of every hold, and of what was drawn for audit."""
        held, drawn = routed.held, routed.drawn & ~routed.held
        asked = held | drawn
        rows = routed.rows[asked]
        propensity = np.where(held[asked], 1.0, routed.audit_rate[asked])
        return Labels(
            np.concatenate((self.rows, rows)),
            np.concatenate((self.propensity, propensity)),
            np.concatenate((self.known_at, history.times[rows] + delay)),
        )

    def known(self, by: float) -> "Labels":
        """Those that are known by a moment."""
        kept = self.known_at <= by
        return Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])

    def decided_after(self, moment: float, history: History) -> "Labels":
        """Those whose decision was made after a moment."""
        kept = history.times[self.rows] > moment
        return Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alarm, the stream that raised it, and when the label became known that did."""

    stream: Stream
    alarm: Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The streams under one calibrator.

    Attributes:
        states: of the detectors.
        waiting: labels that were asked for and are not known yet.
    """

    states: States = field(default_factory=dict)
    waiting: tuple[tuple[Stream, Observation], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRetrain:
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
class ReplayStep:
    """One interval between two retrains.

    Attributes:
        routed: the decisions in it.
        epoch: how many calibrators had been promoted before it.
        alarms: that were raised at its end, from the labels that had become known by then.
        suspended: by these alarms, from the next step on.
        shift: of its scores against those that the calibrator was fitted to; None: there was none to compare.
        retrain: at its end; None: it was the last one.
    """

    routed: Routed
    epoch: int
    alarms: tuple[Raised, ...]
    suspended: tuple[Suspension, ...]
    shift: ScoreShift | None
    retrain: SimulatedRetrain | None


def live(history: History, plan: Plan) -> Iterator[ReplayStep]:
    """The steps of the past, one after the other.

    Labels are those that the loop would have had: of every answer that a person looked at before it acted,
    and of every one that was drawn for audit. Whatever else the history knows is for the table alone. A band
    that an alarm suspends (`on_breach: hold`) is held until the next promotion, as if a person lifted it then.
    """
    calibrator, epoch = plan.calibrator, 0
    labels, watched = Labels(), Watched()
    brake: tuple[Suspension, ...] = ()
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
            brake=brake,
        )
        labels = labels.with_those_of(routed, history, plan.label_seconds)
        watched, alarms = _watch(watched, routed, history, plan, calibrator, stop)
        suspended = _suspensions(alarms, plan)
        brake += suspended
        shift = _shift(history, routed, plan, calibrator)
        if stop > end:
            yield ReplayStep(
                routed=routed, epoch=epoch, alarms=alarms, suspended=suspended, shift=shift, retrain=None
            )
            return
        known = labels.known(stop)
        if plan.label_window_seconds is not None:
            known = known.decided_after(stop - plan.label_window_seconds, history)
        told, challenger = _retrain(history, known, plan, calibrator, stop)
        yield ReplayStep(
            routed=routed, epoch=epoch, alarms=alarms, suspended=suspended, shift=shift, retrain=told
        )
        if challenger is not None:
            # Another champion starts other streams; a label of an answer under the old one says nothing of it.
            calibrator, epoch, watched, brake = challenger, epoch + 1, Watched(), ()
        start = stop


def _watch(
    watched: Watched,
    routed: Routed,
    history: History,
    plan: Plan,
    calibrator: Calibrator | None,
    by: float,
) -> tuple[Watched, tuple[Raised, ...]]:
    """The watch of a history, as `python -m training watch` watches a ledger: the same streams and detectors."""
    if calibrator is None:
        return watched, ()
    awaited = _awaited(routed, history, plan, calibrator.digest)
    expecting = replace(watched, waiting=(*watched.waiting, *awaited))
    return _look(expecting, rate=plan.entry.watch.false_alarm_rate, by=by)


def _awaited(
    routed: Routed, history: History, plan: Plan, calibrator: str
) -> Iterator[tuple[Stream, Observation]]:
    """The audit labels that decisions under one calibrator ask for, each with its stream.

    Args:
        routed: the decisions.
        history: what happened.
        plan: how the past is lived through.
        calibrator: the digest.
    """
    promises: dict[tuple[str, str], tuple[float | None, str]] = {}
    for place in routed.drawn.nonzero()[0].tolist():
        row, band = int(routed.rows[place]), str(routed.bands[place])
        if not band:
            continue
        category = str(history.categories[row])
        if (band, category) not in promises:
            promises[band, category] = streams.promise_of(plan.entry, band=band, category=category)
        promise, own_category = promises[band, category]
        action = routed.actions[place]
        stream = Stream(
            model=plan.model,
            model_version="",
            source=AnswerSource.PRIMARY.value,
            band=band,
            action=action.value,
            audit_rate=float(routed.audit_rate[place]),
            category=own_category,
            calibrator=calibrator,
            primary_calibrator=calibrator,
            promise=promise if action in AUTOMATIC_ACTIONS else None,
        )
        decided_at = float(history.times[row])
        yield (
            stream,
            Observation(
                decision_id=f"row-{row}",
                recorded_at=decided_at + plan.label_seconds,
                decided_at=decided_at,
                correct=bool(history.correct[row]),
                confidence=float(routed.confidence[place]),
            ),
        )


def _look(watched: Watched, *, rate: float, by: float) -> tuple[Watched, tuple[Raised, ...]]:
    """The streams after the labels that are known by a moment, and the alarms that these raise.

    Args:
        watched: before.
        rate: the policy's `watch.false_alarm_rate`.
        by: seconds since the epoch.
    """
    known: dict[Stream, list[Observation]] = {}
    waiting = []
    for stream, seen in watched.waiting:
        if seen.recorded_at <= by:
            known.setdefault(stream, []).append(seen)
        else:
            waiting.append((stream, seen))
    for rows in known.values():
        rows.sort(key=lambda seen: seen.moment)
    states = alarm_rules.feed(watched.states, known, rate=rate, now=by)
    raised = []
    for stream, state in states.items():
        before = watched.states.get(stream)
        raised += [
            Raised(stream=stream, alarm=alarm)
            for alarm in state.alarms[0 if before is None else len(before.alarms) :]
        ]
    raised.sort(key=lambda each: (each.alarm.label_at, each.stream.id))
    return Watched(states=states, waiting=tuple(waiting)), tuple(raised)


def _suspensions(alarms: tuple[Raised, ...], plan: Plan) -> tuple[Suspension, ...]:
    """What the alarms suspend, where the policy says `on_breach: hold`."""
    suspended = []
    for raised in alarms:
        stream = raised.stream
        band = streams.band_of(plan.entry, band=stream.band, category=stream.category)
        if raised.alarm.kind == "ACCURACY" and band is not None and band.on_breach == "hold":
            suspended.append(
                Suspension(
                    suspension_id=f"{stream.id}-{raised.alarm.labels}",
                    scope=Scope(model=plan.model, band=stream.band, category=stream.category),
                    explanation="an accuracy alarm",
                    suspended_by="replay",
                    suspended_at=raised.alarm.fired_at,
                    sidecar_id="replay",
                )
            )
    return tuple(suspended)


def _shift(history: History, routed: Routed, plan: Plan, calibrator: Calibrator | None) -> ScoreShift | None:
    if calibrator is None or calibrator.histogram is None or not routed.rows.size:
        return None
    return score_shift.from_histogram(
        calibrator.histogram,
        history.scores[routed.rows],
        reference_n=np.inf if calibrator.fit is None else calibrator.fit.n_effective,
        warning=plan.entry.watch.shift_warning,
    )


def _retrain(
    history: History, known: Labels, plan: Plan, champion: Calibrator | None, at: float
) -> tuple[SimulatedRetrain, Calibrator | None]:
    order = np.argsort(history.times[known.rows], kind="stable")
    rows, propensity = known.rows[order], known.propensity[order]
    event = SimulatedRetrain(at=at, labels=int(rows.size), kind="", promoted=False, told="")
    if not rows.size:
        return replace(event, told="there is no label yet"), None
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
        contest = challenge.challenge(
            dataset,
            champion,
            entry=plan.entry,
            applies_to=applies_to,
            table=plan.table,
            seed=plan.seed,
        )
    except errors.NotEnoughLabels as error:
        return replace(event, told=str(error)), None
    reasons = "; ".join(
        reason.text for reason in contest.verdict.reasons if reason.blocking or contest.verdict.accept
    )
    event = replace(event, kind=contest.chosen.kind, promoted=contest.verdict.accept, told=reasons)
    return event, contest.challenger if contest.verdict.accept else None
