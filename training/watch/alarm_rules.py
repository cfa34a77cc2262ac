"""Feeds labels to the detectors of a model's streams, and raises alarms; a function from states to states.

An ACCURACY alarm is raised where both hold after a label:

* One of the stream's two detectors has reached its threshold (`Thresholds.reached`). So a stratum that keeps its
  promise raises one within its first 2,000 labels with at most the probability of the policy's
  `watch.false_alarm_rate`.
* e-BH at that rate names the stream among all that the model has now. So of the streams that are named at a look,
  on average at most that share is named falsely. With one stream this follows from the first.

A CALIBRATION alarm is raised where e-BH at that rate names a stream by its drift.
"""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training.watch import e_values
from training.watch.breach import Thresholds
from training.watch.state import Alarm, AlarmKind, Detector, StreamState
from training.watch.streams import Observation, Stream

States = dict[Stream, StreamState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The evidence in all streams of a model together.

    Attributes:
        log_e: ln of an e-value of each stream.
        named: the streams that e-BH names at the rate.
        log_mean: ln of the mean, an e-value of "every stream keeps its promise".
        log_reached: ln of what every stream that is named has; of the least that there is where none is.
        log_needed: ln of what a stream that is not named yet needs, if the others stay as they are.
    """

    log_e: dict[Stream, float]
    named: frozenset[Stream]
    log_mean: float
    log_reached: float
    log_needed: float

    @property
    def log_mixture_needed(self) -> float:
        """The ln of the mixture's evidence that names a stream by itself: it is half of the pair."""
        return self.log_needed + math.log(2.0)


def feed(
    states: Mapping[Stream, StreamState],
    observations: Mapping[Stream, Iterable[Observation]],
    *,
    rate: float,
    now: float,
) -> States:
    """The states after the labels that they have not taken in yet.

    The labels of all streams are taken in the order in which they became known, and alarms are looked for
    after each. What a watch has taken in stays as it was then: a label that becomes known late is taken in
    when it is found, behind the others; one that is corrected later counts as it did.

    Args:
        states: of the model's streams that are watched now.
        observations: of these and of new streams, each in the order of `Observation.moment`.
        rate: the policy's `watch.false_alarm_rate`.
        now: seconds since the epoch.
    """
    fed = dict(states)
    news: dict[Stream, list[Observation]] = {}
    for stream, observed in observations.items():
        news[stream] = fed[stream].untaken(observed) if stream in fed else list(observed)
    thresholds, least = Thresholds.of(rate), -math.log(rate)
    accuracy = {
        stream: _pair(state, thresholds) for stream, state in fed.items() if stream.promise is not None
    }
    drift = {stream: state.drift_log_e for stream, state in fed.items() if state.drift.labels}
    merged = heapq.merge(
        *([(seen.moment, stream.id, stream, seen) for seen in observed] for stream, observed in news.items()),
        key=lambda item: item[:2],
    )
    for _, _, stream, seen in merged:
        # A stream joins the others with its first label, so that they are as many however labels are cut into looks.
        if stream not in fed:
            fed[stream] = StreamState.start(stream, at=seen.recorded_at)
        fed[stream] = fed[stream].updated(seen)
        if stream.promise is not None:
            accuracy[stream] = _pair(fed[stream], thresholds)
            if accuracy[stream] >= least:
                for named in _named(accuracy, rate):
                    fed[named] = _with_accuracy_alarm(fed[named], thresholds, seen, now)
        if seen.confidence is None:
            continue
        drift[stream] = fed[stream].drift_log_e
        if drift[stream] >= least:
            among = family(drift, rate)
            for named in among.named:
                fed[named] = _with_calibration_alarm(fed[named], among, seen, now)
    return {stream: state.with_taken(news.get(stream, ())) for stream, state in fed.items()}


def accuracy_family(states: Iterable[StreamState], rate: float) -> Family:
    """The evidence against the promises, over the streams that have one."""
    thresholds = Thresholds.of(rate)
    promised = [each for each in states if each.stream.promise is not None]
    return family({each.stream: _pair(each, thresholds) for each in promised}, rate)


def calibration_family(states: Iterable[StreamState], rate: float) -> Family:
    """The evidence of drift, over all streams whose answers have a calibrated confidence."""
    return family({each.stream: each.drift_log_e for each in states if each.drift.labels}, rate)


def family(log_e: Mapping[Stream, float], rate: float) -> Family:
    """What e-values say together, at a rate in (0, 1)."""
    streams = list(log_e)
    values = [log_e[stream] for stream in streams]
    named = _named(log_e, rate)
    # Of K streams the k largest are named from K / (k rate) on.
    bar = math.log(max(len(streams), 1)) - math.log(rate)
    return Family(
        log_e=dict(log_e),
        named=named,
        log_mean=e_values.log_mean_e_value(values),
        log_reached=bar - math.log(max(len(named), 1)),
        log_needed=bar - math.log(min(len(named) + 1, max(len(streams), 1))),
    )


def _named(log_e: Mapping[Stream, float], rate: float) -> frozenset[Stream]:
    """The streams that e-BH names."""
    streams = list(log_e)
    positions = e_values.e_benjamini_hochberg([log_e[stream] for stream in streams], rate)
    return frozenset([streams[position] for position in positions])


def _pair(state: StreamState, thresholds: Thresholds) -> float:
    """The ln of the e-value of a stream's two detectors of accuracy together."""
    return thresholds.log_e_value(state.mixture_log_e, state.change_log_statistic, state.labels)


def _with_accuracy_alarm(
    state: StreamState, thresholds: Thresholds, seen: Observation, now: float
) -> StreamState:
    """The state with an alarm where one of its detectors has reached its threshold, unless one is open."""
    if state.open_alarm("ACCURACY"):
        return state
    mixture, change = state.mixture_log_e, state.change_log_statistic
    if not thresholds.reached(mixture, change):
        return state
    # Whichever is further beyond its threshold found it.
    if mixture - thresholds.mixture_log_e >= change - thresholds.change_log_statistic:
        return _with_alarm(state, "ACCURACY", "mixture", mixture, thresholds.mixture_log_e, seen, now)
    return _with_alarm(state, "ACCURACY", "change", change, thresholds.change_log_statistic, seen, now)


def _with_calibration_alarm(state: StreamState, among: Family, seen: Observation, now: float) -> StreamState:
    if state.open_alarm("CALIBRATION"):
        return state
    return _with_alarm(state, "CALIBRATION", "drift", state.drift_log_e, among.log_reached, seen, now)


def _with_alarm(
    state: StreamState,
    kind: AlarmKind,
    detector: Detector,
    evidence: float,
    needed: float,
    seen: Observation,
    now: float,
) -> StreamState:
    return state.with_alarm(
        Alarm(
            kind=kind,
            detector=detector,
            fired_at=now,
            label_at=seen.recorded_at,
            labels=state.labels,
            correct=state.correct,
            log_evidence=evidence,
            log_needed=needed,
        )
    )
