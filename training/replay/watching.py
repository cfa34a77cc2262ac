"""Watches a history as `python -m training watch` watches a ledger: the same streams, detectors and alarms."""

from dataclasses import dataclass, field

from sidecar.policy.actions import AUTOMATIC_ACTIONS, AnswerSource
from sidecar.policy.model import Model
from training.replay.history import History
from training.replay.routing import Routed
from training.watch import feeding, streams
from training.watch.alarms import Alarm
from training.watch.feeding import States
from training.watch.streams import Observation, Stream


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


def asked(
    routed: Routed, history: History, *, model: str, entry: Model, calibrator: str, delay: float
) -> tuple[tuple[Stream, Observation], ...]:
    """The audit labels that decisions ask for, each with its stream.

    Args:
        routed: decisions under one calibrator.
        history: what happened.
        model: its name.
        entry: what the policy says about it.
        calibrator: the digest.
        delay: seconds from a decision to its label.
    """
    promises: dict[tuple[str, str], tuple[float | None, str]] = {}
    found = []
    for place in routed.drawn.nonzero()[0].tolist():
        row, band = int(routed.rows[place]), str(routed.bands[place])
        if not band:
            continue
        category = str(history.categories[row])
        if (band, category) not in promises:
            promises[band, category] = streams.promise_of(entry, band=band, category=category)
        promise, own_category = promises[band, category]
        action = routed.actions[place]
        stream = Stream(
            model=model,
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
        found.append(
            (
                stream,
                Observation(
                    decision_id=f"row-{row}",
                    recorded_at=decided_at + delay,
                    decided_at=decided_at,
                    correct=bool(history.correct[row]),
                    confidence=float(routed.confidence[place]),
                ),
            )
        )
    return tuple(found)


def look(watched: Watched, *, rate: float, by: float) -> tuple[Watched, tuple[Raised, ...]]:
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
    states = feeding.feed(watched.states, known, rate=rate, now=by)
    raised = []
    for stream, state in states.items():
        before = watched.states.get(stream)
        raised += [
            Raised(stream=stream, alarm=alarm)
            for alarm in state.alarms[0 if before is None else len(before.alarms) :]
        ]
    raised.sort(key=lambda each: (each.alarm.label_at, each.stream.id))
    return Watched(states=states, waiting=tuple(waiting)), tuple(raised)
