"""The brake, from a watch's side: a fired accuracy alarm suspends its band where the policy says so.

Only a fired detector does that; a report's verdict is read again too often to decide. Only a person lifts it.
"""

from dataclasses import replace

import grpc
from trueband.v1 import admin_pb2, admin_pb2_grpc

from sidecar.ledger.watch_states import WatchView
from sidecar.policy.actions import AnswerSource
from sidecar.policy.model import Model
from training import channel
from training.watch import odds, remembering, streams
from training.watch.alarms import Alarm
from training.watch.state import StreamState
from training.watch.streams import Stream

WATCH = "trueband-watch"
"""Who suspends."""

DEADLINE_SECONDS = 30.0


def wanted(states: tuple[StreamState, ...], entry: Model, *, now: float) -> list[tuple[StreamState, Alarm]]:
    """The accuracy alarms that a suspension is to follow: `on_breach: hold`, and none followed yet."""
    return [
        (state, alarm)
        for state in states
        if holds(entry, state.stream)
        for alarm in state.alarms
        if alarm.wants_hold(now)
    ]


def holds(entry: Model, stream: Stream) -> bool:
    """Whether the policy says that an alarm of the stream suspends its band."""
    band = streams.band_of(entry, band=stream.band, category=stream.category)
    return band is not None and band.on_breach == "hold"


def any_band_holds(entry: Model) -> bool:
    """Whether the policy says `on_breach: hold` anywhere in a model."""
    bands = [*entry.bands, *(band for each in entry.categories.values() for band in each.bands or ())]
    return any(band.on_breach == "hold" for band in bands)


def hold(
    view: WatchView, address: str, token: str, model: str, state: StreamState, alarm: Alarm, *, now: float
) -> str:
    """Suspends what an alarm is about, once: the suspension's id, or "" where another watch is at it.

    What the watch is about to do is remembered first, so that two at once do not both suspend; and the id
    afterwards, so that what a person lifts is not suspended again for the same alarm.

    Raises:
        CallFailed: the sidecar does not do it; the next watch tries again.
    """

    def claim(now_kept: StreamState) -> StreamState | None:
        kept = _same(now_kept, alarm)
        if kept is None or not kept.wants_hold(now):
            return None
        return now_kept.with_changed(kept, replace(kept, hold_claimed_at=now))

    if remembering.amend(view, model, state.stream.id, claim, at=now) is None:
        return ""
    suspension = ""
    try:
        with channel.connect(address, token=token) as opened:
            # With a token the sidecar knows who calls, and keeps that name.
            suspension = _suspended(opened, state.stream, alarm, by="" if token else WATCH)
    finally:
        # Without an id: that it failed, and the claim is given back.
        def settle(now_kept: StreamState) -> StreamState | None:
            kept = _same(now_kept, alarm)
            claimed = now if suspension else None
            new = None if kept is None else replace(kept, hold_claimed_at=claimed, suspension_id=suspension)
            return None if kept is None or new is None else now_kept.with_changed(kept, new)

        remembering.amend(view, model, state.stream.id, settle, at=now)
    return suspension


def explanation(stream: Stream, alarm: Alarm) -> str:
    """Why, for whoever is to lift it."""
    return (
        f"stream {stream.id} ({stream}): of {alarm.labels} audit labels {alarm.correct} were correct where "
        f"{stream.promise or 0.0:.1%} is promised; the evidence of the {alarm.detector} detector that the promise is "
        f"broken is {odds.to_one(alarm.log_evidence)}, with {odds.to_one(alarm.log_needed)} needed"
    )


def _suspended(opened: grpc.Channel, stream: Stream, alarm: Alarm, *, by: str) -> str:
    """The id of the suspension of the stream's band: the one in force, or a new one."""
    stub = admin_pb2_grpc.AdminServiceStub(opened)
    source = AnswerSource(stream.source)
    # What breaks the primary's promise holds the whole band; another source's breach holds that source there.
    scope = admin_pb2.SuspensionScope(
        model=stream.model,
        model_version=stream.model_version,
        band=stream.band,
        category=stream.category,
        source=None if source is AnswerSource.PRIMARY else f"ANSWER_SOURCE_{source}",
    )
    listed = stub.ListSuspensions(admin_pb2.ListSuspensionsRequest(), timeout=DEADLINE_SECONDS)
    for each in listed.suspensions:
        if each.scope == scope:
            return str(each.suspension_id)
    request = admin_pb2.SuspendRequest(scope=scope, explanation=explanation(stream, alarm), suspended_by=by)
    made = stub.Suspend(request, timeout=DEADLINE_SECONDS).suspension
    return str(made.suspension_id)


def _same(state: StreamState, alarm: Alarm) -> Alarm | None:
    """The alarm as it is kept now; None where a person took note meanwhile."""
    found = state.open_alarm(alarm.kind)
    return found if found is not None and found.fired_at == alarm.fired_at else None
