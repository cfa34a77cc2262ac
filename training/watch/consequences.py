"""What follows from a look: a suspension, a retrain, metrics elsewhere; and what of that could not be done.

The brake, from a watch's side: a fired accuracy alarm suspends its band where the policy says so. Only a fired
detector does that; a report's verdict is read again too often to decide. Only a person lifts it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from trueband.v1 import admin_pb2, admin_pb2_grpc

from calibrators.errors import TruebandError
from sidecar import client
from sidecar.ledger.store import Ledger
from sidecar.policy import model as policy_model
from sidecar.policy.actions import AnswerSource
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from training.watch import e_values, measurements, store, streams
from training.watch.model_look import Look
from training.watch.state import Alarm, StreamState
from training.watch.streams import Stream

WATCH = "trueband-watch"
"""Who suspends."""

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What was done, and what had to be done and was not; a sentence each."""

    done: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()

    def __add__(self, other: "Consequences") -> "Consequences":
        return Consequences(done=self.done + other.done, undone=self.undone + other.undone)


def suspend(view: Ledger, look: Look, loaded: LoadedPolicy, *, address: str, token: str) -> Consequences:
    """Suspends what a fired alarm is to suspend.

    Args:
        view: of the real ledger.
        look: at the model.
        loaded: the policy in force.
        address: of a sidecar.
        token: says who calls; empty where nobody asks.
    """
    followed = Consequences()
    for state, alarm in alarms_to_suspend(look.states, loaded.policy.models[look.model], now=look.at):
        stream = state.stream
        try:
            suspension = suspend_once(view, address, token, look.model, state, alarm, now=look.at)
        except client.CallFailed as error:
            followed += Consequences(
                undone=(f"{stream.id} ({stream}) is to be suspended and is not: {error}",)
            )
        else:
            if suspension:
                told = f"{stream} is suspended by {suspension}; only a person lifts it"
                followed += Consequences(done=(told,))
    return followed


def retrain(ledger: Ledger, view: Ledger, look: Look, loaded: LoadedPolicy) -> Consequences:
    """Starts the retrain that the policy asks for, if one is due.

    Args:
        ledger: a snapshot.
        view: of the real ledger.
        look: at the model.
        loaded: the policy in force.
    """
    settings = loaded.policy.models[look.model].retrain
    if not settings.on_alarm and settings.after_labels is None and settings.after is None:
        return Consequences()
    from training.watch import due_retrain  # what fits takes seconds to import

    attempt = due_retrain.retrain_if_due(ledger, view, look, loaded)
    if attempt is None:
        return Consequences()
    why = f"{look.model}: a retrain was due, {attempt.trigger.text}"
    retrained = attempt.retrained
    if retrained is None:
        sentence = (f"{why}: {attempt.failure}",)
        return Consequences(undone=sentence) if attempt.is_error else Consequences(done=sentence)
    verdict = "the gate accepts it" if retrained.verdict.accept else "the gate keeps the champion"
    promoted = ", and it is promoted" if retrained.promoted else ""
    reasons = "; ".join(reason.text for reason in retrained.verdict.reasons)
    version = f"version {retrained.version} of {retrained.name}"
    return Consequences(done=(f"{why}: registered as {version}, {verdict}{promoted}: {reasons}",))


def export(looks: list[Look], *, to_mlflow: bool, to_file: Path | None, undone: int) -> Consequences:
    """Writes what was found to MLflow and to a file of Prometheus metrics, where that was asked for.

    Args:
        looks: at the models.
        to_mlflow: whether to MLflow.
        to_file: where the metrics go; None: nowhere.
        undone: how much was not done before, which is a metric, too.
    """
    failed = []
    if to_mlflow:
        for look in looks:
            try:
                measurements.log(look.model, measurements.points(look), at=look.at)
            except TruebandError as error:
                failed.append(f"{look.model}: no metrics in MLflow: {error}")
    if to_file is not None:
        try:
            measurements.write(to_file, measurements.registry(looks, undone=undone + len(failed)))
        except TruebandError as error:
            failed.append(str(error))
    return Consequences(undone=tuple(failed))


def alarms_to_suspend(
    states: tuple[StreamState, ...], entry: Model, *, now: float
) -> list[tuple[StreamState, Alarm]]:
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
    return any(
        band.on_breach == "hold"
        for _, category in policy_model.sections(entry)
        for band in policy_model.bands_of(entry, category)
    )


def suspend_once(
    view: Ledger, address: str, token: str, model: str, state: StreamState, alarm: Alarm, *, now: float
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

    if store.amend(view, model, state.stream.id, claim, at=now) is None:
        return ""
    suspension = ""
    try:
        with client.connect(address, token=token) as opened:
            # With a token the sidecar knows who calls, and keeps that name.
            suspension = _suspended(opened, state.stream, alarm, by="" if token else WATCH)
    finally:
        # Without an id: that it failed, and the claim is given back.
        def settle(now_kept: StreamState) -> StreamState | None:
            kept = _same(now_kept, alarm)
            claimed = now if suspension else None
            new = None if kept is None else replace(kept, hold_claimed_at=claimed, suspension_id=suspension)
            return None if kept is None or new is None else now_kept.with_changed(kept, new)

        store.amend(view, model, state.stream.id, settle, at=now)
    return suspension


def explanation(stream: Stream, alarm: Alarm) -> str:
    """Why, for whoever is to lift it."""
    return (
        f"stream {stream.id} ({stream}): of {alarm.labels} audit labels {alarm.correct} were correct where "
        f"{stream.promise or 0.0:.1%} is promised; the evidence of the {alarm.detector} detector that the promise is "
        f"broken is {e_values.odds(alarm.log_evidence)}, with {e_values.odds(alarm.log_needed)} needed"
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
