"""What follows from a look: a suspension, a retrain, metrics elsewhere; and what of that could not be done."""

from dataclasses import dataclass
from pathlib import Path

from calibrators.errors import TruebandError
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import WatchView
from sidecar.policy.loading import LoadedPolicy
from training import channel
from training.watch import holding, prometheus, telling
from training.watch.watching import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What was done, and what had to be done and was not; a sentence each."""

    done: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()

    def __add__(self, other: "Followed") -> "Followed":
        return Followed(done=self.done + other.done, undone=self.undone + other.undone)


def hold(view: WatchView, look: Look, loaded: LoadedPolicy, *, address: str, token: str) -> Followed:
    """Suspends what a fired alarm is to suspend.

    Args:
        view: of the real ledger.
        look: at the model.
        loaded: the policy in force.
        address: of a sidecar.
        token: says who calls; empty where nobody asks.
    """
    followed = Followed()
    for state, alarm in holding.wanted(look.states, loaded.policy.models[look.model], now=look.at):
        stream = state.stream
        try:
            suspension = holding.hold(view, address, token, look.model, state, alarm, now=look.at)
        except channel.CallFailed as error:
            followed += Followed(undone=(f"{stream.id} ({stream}) is to be suspended and is not: {error}",))
        else:
            if suspension:
                told = f"{stream} is suspended by {suspension}; only a person lifts it"
                followed += Followed(done=(told,))
    return followed


def retrain(ledger: Ledger, view: WatchView, look: Look, loaded: LoadedPolicy) -> Followed:
    """Starts the retrain that the policy asks for, if one is due.

    Args:
        ledger: a snapshot.
        view: of the real ledger.
        look: at the model.
        loaded: the policy in force.
    """
    settings = loaded.policy.models[look.model].retrain
    if not settings.on_alarm and settings.after_labels is None and settings.after is None:
        return Followed()
    from training.watch import retraining  # what fits takes seconds to import

    outcome = retraining.retrain_if_due(ledger, view, look, loaded)
    if outcome is None:
        return Followed()
    why = f"{look.model}: a retrain was due, {outcome.trigger.text}"
    made = outcome.retrained
    if made is None:
        told = (f"{why}: {outcome.failure}",)
        return Followed(undone=told) if outcome.is_error else Followed(done=told)
    verdict = "the gate accepts it" if made.verdict.accept else "the gate keeps the champion"
    promoted = ", and it is promoted" if made.promoted else ""
    reasons = "; ".join(reason.text for reason in made.verdict.reasons)
    return Followed(
        done=(f"{why}: registered as version {made.version} of {made.name}, {verdict}{promoted}: {reasons}",)
    )


def export(looks: list[Look], *, to_mlflow: bool, to_file: Path | None, undone: int) -> Followed:
    """Writes what was found to MLflow and to a file of Prometheus metrics, where that was asked for.

    Args:
        looks: at the models.
        to_mlflow: whether to MLflow.
        to_file: where the metrics go; None: nowhere.
        undone: how much was not done before, which is a metric, too.
    """
    failed = []
    if to_mlflow:
        from training.registry import watch_metrics

        for look in looks:
            try:
                watch_metrics.log(look.model, telling.metrics(look), at=look.at)
            except TruebandError as error:
                failed.append(f"{look.model}: no metrics in MLflow: {error}")
    if to_file is not None:
        try:
            prometheus.write(to_file, prometheus.registry(looks, undone=undone + len(failed)))
        except TruebandError as error:
            failed.append(str(error))
    return Followed(undone=tuple(failed))
