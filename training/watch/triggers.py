"""When a retrain is due: on an alarm, after so many labels, or by age; each reason starts one retrain."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import msgspec

from sidecar import times
from sidecar.policy.actions import AnswerSource
from sidecar.policy.upkeep import Retrain
from training import errors
from training.watch.state import StreamState

ROW = "model"
"""The key of this memory beside those of the streams, which are hexadecimal digits."""

CLAIM_SECONDS = 6 * 3600.0
"""How long another watch is taken to be at work on a retrain that it has begun and not ended."""

MOST_RUNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A retrain that a watch has begun.

    Attributes:
        trigger: why, as a key.
        calibrator: the digest of the champion then.
        began_at: in seconds since the epoch.
        ended_at: None while it runs, and where the watch died in it.
        came_to: in words.
    """

    trigger: str
    calibrator: str
    began_at: float
    ended_at: float | None = None
    came_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMemory:
    """What a watch remembers of a model beside its streams.

    Attributes:
        runs: the retrains that it began, oldest first.
        shifted_since: by version, since when the scores are another distribution; only while they are.
        schema: of this record.
    """

    runs: tuple[Run, ...] = ()
    shifted_since: dict[str, float] = field(default_factory=dict)
    schema: Literal[1] = 1

    def begun(self, trigger: str, calibrator: str, *, at: float) -> Self:
        """The memory with a retrain that begins now."""
        run = Run(trigger=trigger, calibrator=calibrator, began_at=at)
        return replace(self, runs=(*self.runs, run)[-MOST_RUNS:])

    def ended(self, trigger: str, came_to: str, *, at: float) -> Self:
        """The memory once the retrain of that trigger has ended."""
        return replace(
            self,
            runs=tuple(
                [
                    replace(run, ended_at=at, came_to=came_to)
                    if run.trigger == trigger and run.ended_at is None
                    else run
                    for run in self.runs
                ]
            ),
        )

    def failed(self, trigger: str) -> Self:
        """The memory without the retrain that failed, so that the next watch tries again."""
        kept = [run for run in self.runs if run.trigger != trigger or run.ended_at is not None]
        return replace(self, runs=tuple(kept))

    @property
    def last_began_at(self) -> float:
        """When the last retrain that came to an end began; 0: none did."""
        return max((run.began_at for run in self.runs if run.ended_at is not None), default=0.0)


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
                about = (
                    state.stream.source == AnswerSource.PRIMARY
                )  # a refit changes no other source's answers
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
            told = f"{count:,} new labels since the champion's last fit; the policy asks for {settings.after_labels:,}"
            return Trigger(key=f"labels:{key}", text=told, model_version=champion.model_version)
    if settings.after is not None and now - since > settings.after:
        days, allowed = (now - since) / times.DAY_SECONDS, settings.after / times.DAY_SECONDS
        return Trigger(
            key=f"age:{key}",
            text=f"{days:.1f} days since the champion's last fit; the policy allows {allowed:g}",
            model_version=champion.model_version,
        )
    return None


def encode(memory: ModelMemory) -> str:
    """The memory as JSON."""
    return msgspec.json.encode(memory).decode()


def decode(text: str) -> ModelMemory:
    """The memory that `encode` wrote.

    Raises:
        RequestRefused: it cannot be read by this version.
    """
    try:
        return msgspec.json.decode(text, type=ModelMemory)
    except msgspec.DecodeError as error:
        raise errors.RequestRefused(
            f"what the ledger remembers of a model cannot be read by this version: {error}"
        ) from error
