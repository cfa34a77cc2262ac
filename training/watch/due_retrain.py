"""The retrain that a look finds due, on an alarm, after so many labels, or by age; and what became of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from calibrators.errors import TruebandError
from sidecar import times
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import AnswerSource
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from sidecar.policy.upkeep import Retrain
from training import errors
from training.retraining import pipeline
from training.retraining.account import Retrained
from training.watch import score_shift, store
from training.watch.model_look import Champion, Look
from training.watch.state import StreamState
from training.watch.store import ModelMemory

BY = "trueband-watch"
"""Who retrains."""

CLAIM_SECONDS = 6 * 3600.0
"""How long another watch is taken to be at work on a retrain that it has begun and not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why a retrain is due.

    Attributes:
        key: the same as long as the reason is.
        text: a sentence.
        model_version: the version of the model that it is about.
    """

    key: str
    text: str
    model_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainAttempt:
    """What became of a retrain that was due.

    Attributes:
        trigger: why it was.
        retrained: what it came to; None where it came to nothing.
        failure: why it came to nothing; empty otherwise. The next watch tries again.
        is_error: whether that is for somebody to mend, and not for time: more labels may do.
    """

    trigger: Trigger
    retrained: Retrained | None = None
    failure: str = ""
    is_error: bool = False


def due(
    settings: Retrain,
    states: Iterable[StreamState],
    champion: Champion | None,
    memory: ModelMemory,
    *,
    now: float,
) -> Trigger | None:
    """The first reason for a retrain that no retrain was begun for yet; None: there is none.

    Everything counts from the champion's fit or the last retrain, whatever that came to: it had all the labels
    that there were. So an alarm starts one retrain and not one a night, and a champion that stays is challenged
    again after as many new labels, or as long. A shift of the scores is no reason.

    Args:
        settings: the policy's `retrain`.
        states: of the streams that are watched now.
        champion: None where nothing is in force: what is not there cannot be too old.
        memory: of the retrains before.
        now: seconds since the epoch.
    """
    if any(run.ended_at is None and now - run.began_at < CLAIM_SECONDS for run in memory.runs):
        return None
    if settings.on_alarm:
        for state in states:
            for alarm in state.alarms:
                # A refit changes no other source's answers.
                about = state.stream.source == AnswerSource.PRIMARY
                if alarm.is_open and about and alarm.fired_at > memory.last_began_at:
                    key = f"alarm:{state.stream.id}:{alarm.kind}:{alarm.fired_at!r}"
                    text = f"{alarm.kind} alarm in {state.stream}"
                    return Trigger(key=key, text=text, model_version=state.stream.model_version)
    if champion is None:
        return None
    since = max(champion.since, memory.last_began_at)
    key = f"{champion.digest}:{since!r}"
    if settings.after_labels is not None:
        count = sum(at > since for at in champion.labels_at)
        if count >= settings.after_labels:
            text = f"{count:,} new labels since the champion's last fit; the policy asks for {settings.after_labels:,}"
            return Trigger(key=f"labels:{key}", text=text, model_version=champion.model_version)
    if settings.after is not None and now - since > settings.after:
        days, allowed = (now - since) / times.DAY_SECONDS, settings.after / times.DAY_SECONDS
        return Trigger(
            key=f"age:{key}",
            text=f"{days:.1f} days since the champion's last fit; the policy allows {allowed:g}",
            model_version=champion.model_version,
        )
    return None


def retrain_if_due(ledger: Ledger, view: Ledger, look: Look, loaded: LoadedPolicy) -> RetrainAttempt | None:
    """The attempt at the retrain that is due; None where none is, or where another watch is at it.

    Args:
        ledger: a snapshot.
        view: of the real ledger.
        look: at the model; its `at` is now.
        loaded: the policy in force.
    """
    entry, now = loaded.policy.models[look.model], look.at

    def reason(memory: ModelMemory) -> Trigger | None:
        return due(entry.retrain, look.states, look.champion, memory, now=now)

    trigger = reason(look.memory)
    if trigger is None:
        return None
    champion = "" if look.champion is None else look.champion.digest

    def begin(memory: ModelMemory) -> ModelMemory | None:
        return memory.begun(trigger.key, champion, at=now) if reason(memory) == trigger else None

    if store.amend_memory(view, look.model, begin, at=now) is None:
        return None
    attempt, came_to = RetrainAttempt(trigger=trigger, failure="it was interrupted", is_error=True), ""
    try:
        attempt = _retrained(ledger, look, loaded, entry, trigger)
    finally:
        if attempt.retrained is not None:
            came_to = f"version {attempt.retrained.version}" + (", promoted" * attempt.retrained.promoted)

        def end(memory: ModelMemory) -> ModelMemory:
            return memory.ended(trigger.key, came_to, at=now) if came_to else memory.failed(trigger.key)

        store.amend_memory(view, look.model, end, at=now)
    return attempt


def _retrained(
    ledger: Ledger, look: Look, loaded: LoadedPolicy, entry: Model, trigger: Trigger
) -> RetrainAttempt:
    version, pool = trigger.model_version, False
    if look.champion is not None and version not in entry.versions:
        calibrator = score_shift.calibrator_of(ledger, look.champion.digest)
        # What takes the place of a calibrator of any version is one, too.
        pool = calibrator is not None and (
            calibrator.applies_to is None or calibrator.applies_to.model_versions is None
        )
    try:
        retrained = pipeline.retrain(
            ledger,
            look.model,
            policy=loaded,
            model_versions=() if pool or not version else (version,),
            pool=pool,
            promote=entry.retrain.promote,
            by=BY,
        )
    except errors.NotEnoughLabels as error:
        return RetrainAttempt(trigger=trigger, failure=str(error))
    except TruebandError as error:
        return RetrainAttempt(trigger=trigger, failure=f"[{error.code}] {error}", is_error=True)
    return RetrainAttempt(trigger=trigger, retrained=retrained)
