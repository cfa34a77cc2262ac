"""Starts the retrain that is due, and remembers that it did."""

from dataclasses import dataclass

from calibrators.errors import TruebandError
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import WatchView
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Model
from training import errors
from training.retraining import pipeline
from training.retraining.account import Retrained
from training.watch import reference, remembering, triggers
from training.watch.triggers import ModelMemory, Trigger
from training.watch.watching import Look

BY = "trueband-watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
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


def retrain_if_due(ledger: Ledger, view: WatchView, look: Look, loaded: LoadedPolicy) -> Outcome | None:
    """The outcome of the retrain that is due; None where none is, or where another watch is at it.

    Args:
        ledger: a snapshot.
        view: of the real ledger.
        look: at the model; its `at` is now.
        loaded: the policy in force.
    """
    entry, now = loaded.policy.models[look.model], look.at

    def due(memory: ModelMemory) -> Trigger | None:
        return triggers.due(entry.retrain, look.states, look.champion, memory, now=now)

    trigger = due(look.memory)
    if trigger is None:
        return None
    champion = "" if look.champion is None else look.champion.digest

    def begin(memory: ModelMemory) -> ModelMemory | None:
        return memory.begun(trigger.key, champion, at=now) if due(memory) == trigger else None

    if remembering.amend_memory(view, look.model, begin, at=now) is None:
        return None
    outcome, came_to = Outcome(trigger=trigger, failure="it was interrupted", is_error=True), ""
    try:
        outcome = _retrained(ledger, look, loaded, entry, trigger)
    finally:
        if outcome.retrained is not None:
            came_to = f"version {outcome.retrained.version}" + (", promoted" * outcome.retrained.promoted)

        def end(memory: ModelMemory) -> ModelMemory:
            return memory.ended(trigger.key, came_to, at=now) if came_to else memory.failed(trigger.key)

        remembering.amend_memory(view, look.model, end, at=now)
    return outcome


def _retrained(ledger: Ledger, look: Look, loaded: LoadedPolicy, entry: Model, trigger: Trigger) -> Outcome:
    version, pool = trigger.model_version, False
    if look.champion is not None and version not in entry.versions:
        calibrator = reference.calibrator_of(ledger, look.champion.digest)
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
        return Outcome(trigger=trigger, failure=str(error))
    except TruebandError as error:
        return Outcome(trigger=trigger, failure=f"[{error.code}] {error}", is_error=True)
    return Outcome(trigger=trigger, retrained=retrained)
