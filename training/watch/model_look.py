"""One look at a model: reads its audit labels, feeds the detectors, remembers, and says what there is."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sidecar import times
from sidecar.errors import PolicyRefused
from sidecar.ledger import artifacts, watch_states
from sidecar.ledger import labelled as ledger_labelled
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import RecentScores
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from training import errors
from training.watch import alarm_rules, challenger, score_shift, store, streams
from training.watch.alarm_rules import Family, States
from training.watch.breach import Thresholds
from training.watch.challenger import Comparison
from training.watch.score_shift import VersionShift
from training.watch.state import StreamState
from training.watch.store import ModelMemory
from training.watch.streams import Stream, Streams

CLOCKS_SECONDS = 300.0
"""By how much the clocks of the machines that watch may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """What is in force for a model, and for how long.

    Attributes:
        digest: of its document.
        model_version: of the newest answer that it calibrated; empty where requests name none.
        since: when a sidecar first decided with it, which stands for the time of its fit, in seconds since the
            epoch. The window of its data would not do: labels that judged it are later than it and not new.
        labels_at: when each label became known that could train, in any order.
    """

    digest: str
    model_version: str
    since: float
    labels_at: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at a model found.

    Attributes:
        model: the model.
        at: as of when, in seconds since the epoch.
        rate: the policy's `watch.false_alarm_rate`.
        states: of the streams that are watched now, by band.
        past: of those whose calibrator, promise or band is no more.
        left_out: how many labels feed no stream, by reason.
        accuracy: the evidence against the promises, together.
        calibration: the evidence of drift, together.
        shifts: of the scores, one for each version of the model.
        champion: what is in force; None where nothing decided yet.
        memory: of retrains and shifts.
        challengers: the challengers in force of which a label says something, beside their champions.
    """

    model: str
    at: float
    rate: float
    states: tuple[StreamState, ...]
    past: tuple[StreamState, ...]
    left_out: dict[str, int]
    accuracy: Family
    calibration: Family
    shifts: tuple[VersionShift, ...]
    champion: Champion | None
    memory: ModelMemory
    challengers: tuple[Comparison, ...]

    def accuracy_needed(self, state: StreamState) -> float:
        """The ln of the mixture's evidence at which a stream raises an alarm, if the other streams stay as they are."""
        alone = Thresholds.of(self.rate).mixture_log_e
        among = self.accuracy.log_mixture_needed
        return alone if state.stream in self.accuracy.named else max(alone, among)

    def calibration_needed(self, state: StreamState) -> float:
        """The ln of the drift's evidence at which a stream raises an alarm, likewise."""
        alone = -math.log(self.rate)
        return alone if state.stream in self.calibration.named else max(alone, self.calibration.log_needed)

    @property
    def alarmed(self) -> tuple[StreamState, ...]:
        """The streams with an alarm of which nobody took note."""
        return tuple([each for each in self.states if any(alarm.is_open for alarm in each.alarms)])


def take(
    ledger: Ledger,
    view: Ledger,
    model: str,
    loaded: LoadedPolicy,
    *,
    at: float,
    window_seconds: float,
    write: bool = True,
) -> Look:
    """Looks at a model, and remembers what the detectors come to; labels are fed once, however often one looks.

    Args:
        ledger: a snapshot, to read from.
        view: of the real ledger, where the states are.
        model: a key of the policy's models.
        loaded: the policy in force: what is promised now, and how alarms are decided.
        at: as of when, in seconds since the epoch: what became known later is left for later.
        window_seconds: how far back the scores of now go.
        write: whether to remember anything.

    Raises:
        RequestRefused: a later look has been there, or what is remembered cannot be read.
        WatchedMeanwhile: other watches were faster time and again.
    """
    entry = loaded.policy.models[model]
    labelled = ledger.read(
        ledger_labelled.labelled,
        model,
        criterion=entry.criterion,
        label_window_seconds=loaded.policy.label_window,
        as_of=at,
    )
    entry_of = _entries(ledger, model, loaded)
    by_stream = streams.build(labelled, entry_of)
    recent = ledger.read(watch_states.recent_scores, model, since=at - window_seconds, until=at)
    shifts = tuple([_shift(ledger, model, each, entry) for each in recent])
    latest = recent or ledger.read(watch_states.recent_scores, model, since=0.0, until=at, most=1)
    in_force = {each.model_version: each.calibrator_digest for each in latest}

    def once() -> tuple[States, States, ModelMemory]:
        rows = view.read(watch_states.states, model)
        fed, past = _fed(store.states(rows), by_stream, entry, in_force, at=at)
        memory = _shifted(store.memory(rows), shifts, at=at)
        if write:
            view.write(watch_states.keep, store.changes(rows, model, fed.values(), memory, at=at))
        return fed, past, memory

    fed, past, memory = store.again(once)
    states = tuple(sorted(fed.values(), key=_place))
    rate = entry.watch.false_alarm_rate
    return Look(
        model=model,
        at=at,
        rate=rate,
        states=states,
        past=tuple(sorted(past.values(), key=_place)),
        left_out=by_stream.left_out,
        accuracy=alarm_rules.accuracy_family(states, rate),
        calibration=alarm_rules.calibration_family(states, rate),
        shifts=shifts,
        champion=_champion(ledger, latest, labelled, entry),
        memory=memory,
        challengers=challenger.compare(ledger, model, loaded, labelled, entry_of, at=at),
    )


def reread(view: Ledger, look: Look) -> Look:
    """The look, with what followed from it: suspensions and retrains are remembered with the streams."""
    rows = view.read(watch_states.states, look.model)
    kept = store.states(rows)
    return replace(
        look,
        states=tuple([kept.get(each.stream, each) for each in look.states]),
        memory=store.memory(rows),
    )


def _fed(
    stored: States, by_stream: Streams, entry: Model, in_force: Mapping[str, str], *, at: float
) -> tuple[States, States]:
    """The states that are watched now, after the labels, and those that are past, as they were.

    Raises:
        RequestRefused: a later look has been there.
    """
    later = max((each.last_label_at for each in stored.values()), default=at)
    if later > at + CLOCKS_SECONDS:
        raise errors.RequestRefused(
            f"labels of up to {times.rfc3339(later)} were taken in already, and the "
            "detectors cannot forget: give a later --as-of, or none"
        )
    newest = {stream: each.newest_decided_at for stream, each in stored.items()}
    for stream, seen in by_stream.observations.items():
        newest[stream] = max([newest.get(stream, 0.0), *(each.decided_at for each in seen)])
    current = _current(newest, entry, in_force)
    watched = alarm_rules.feed(
        {stream: each for stream, each in stored.items() if stream in current},
        {stream: seen for stream, seen in by_stream.observations.items() if stream in current},
        rate=entry.watch.false_alarm_rate,
        now=at,
    )
    return watched, {stream: each for stream, each in stored.items() if stream not in current}


def _current(newest: Mapping[Stream, float], entry: Model, in_force: Mapping[str, str]) -> set[Stream]:
    """The streams that speak of what decides now: its calibrator, its promise, its bands.

    Args:
        newest: of every stream, when the newest of its labelled answers was given.
        entry: the policy in force.
        in_force: by version with answers of late, the digest of the primary's calibrator. What another version
            was last seen with, it is taken to have still.
    """
    latest: dict[tuple[object, ...], Stream] = {}
    ordered = sorted(newest, key=lambda each: (newest[each], each.id))
    known = {stream.model_version: stream.primary_calibrator for stream in ordered} | dict(in_force)
    for stream in ordered:
        if known[stream.model_version] != stream.primary_calibrator:
            continue
        if streams.band_of(entry, band=stream.band, category=stream.category) is None:
            continue
        promise, category = streams.promise_of(entry, band=stream.band, category=stream.category)
        if stream.promise in (None, promise) and stream.category == category:
            # The calibrator of a rule or a secondary can change while the primary's stays.
            latest[(*stream.slot, stream.promise)] = stream
    return set(latest.values())


def _entries(ledger: Ledger, model: str, loaded: LoadedPolicy) -> streams.EntryOf:
    """From a policy's digest to its section on the model, each read once."""
    known: dict[str, Model | None] = {loaded.digest: loaded.policy.models[model]}

    def entry_of(digest: str) -> Model | None:
        if digest not in known:
            known[digest] = None
            # A policy of another version of Trueband may not be readable; its labels are counted as left out.
            with contextlib.suppress(PolicyRefused), ledger.reading() as at:
                behind = artifacts.policy_of(at, digest)
                known[digest] = None if behind is None else behind.policy.models.get(model)
        return known[digest]

    return entry_of


def _shift(ledger: Ledger, model: str, recent: RecentScores, entry: Model) -> VersionShift:
    def between(start: float, end: float) -> tuple[float, ...]:
        found = ledger.read(watch_states.recent_scores, model, since=start, until=end)
        return next((each.scores for each in found if each.model_version == recent.model_version), ())

    calibrator = score_shift.calibrator_of(ledger, recent.calibrator_digest)
    return score_shift.compare(recent, calibrator, between, warning=entry.watch.shift_warning)


def _shifted(memory: ModelMemory, shifts: Iterable[VersionShift], *, at: float) -> ModelMemory:
    """The memory of since when which version's scores are another distribution."""
    since = {
        each.model_version: memory.shifted_since.get(each.model_version, at)
        for each in shifts
        if each.shift is not None and each.shift.warns
    }
    return replace(memory, shifted_since=since)


def _champion(
    ledger: Ledger, latest: Iterable[RecentScores], labelled: Iterable[Labelled], entry: Model
) -> Champion | None:
    newest = max(latest, key=lambda each: each.newest_at, default=None)
    if newest is None:
        return None
    digest = newest.calibrator_digest
    of_it = [
        each.decision.decided_at
        for each in labelled
        if each.decision.provenance.calibrator is not None
        and each.decision.provenance.calibrator.digest == digest
    ]
    since = ledger.read(watch_states.first_in_force, digest)
    return Champion(
        digest=digest,
        model_version=newest.model_version,
        since=min([newest.newest_at, *of_it]) if since is None else since,
        labels_at=tuple(
            [
                each.label.recorded_at
                for each in labelled
                if each.about == "PRIMARY" and (each.propensity is not None or entry.retrain.undrawn_labels)
            ]
        ),
    )


def _place(each: StreamState) -> tuple[str, str, str, str, str]:
    stream = each.stream
    return stream.model_version, stream.band, stream.category, stream.source, stream.id
