"""What a watch remembers of a model in the ledger: its streams, the retrains that it began, and the shifts of scores.

Reads all of it, writes what changed, and changes one row safely where other watches write, too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeVar

import msgspec

from sidecar.ledger import watch_states
from sidecar.ledger.store import Ledger
from sidecar.ledger.watch_states import WatchedMeanwhile, WatchState
from training import errors
from training.watch import state
from training.watch.alarm_rules import States
from training.watch.state import StreamState

T = TypeVar("T")
Rows = Mapping[str, WatchState]

ROW = "model"
"""The key of the model's own memory beside those of the streams, which are hexadecimal digits."""

MOST_RUNS = 200
MOST_ATTEMPTS = 5
"""How often something is done again where another watch wrote meanwhile."""


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


def again(work: Callable[[], T]) -> T:
    """What the work answers, done again where another watch was faster.

    Raises:
        WatchedMeanwhile: that happened time and again.
    """
    for _ in range(MOST_ATTEMPTS - 1):
        try:
            return work()
        except WatchedMeanwhile:
            continue
    return work()


def states(rows: Rows) -> States:
    """The remembered streams.

    Raises:
        RequestRefused: one cannot be read by this version.
    """
    found = [state.decode(row.body) for name, row in rows.items() if name != ROW]
    return {each.stream: each for each in found}


def memory(rows: Rows) -> ModelMemory:
    """What is remembered of the model itself; nothing at first.

    Raises:
        RequestRefused: it cannot be read by this version.
    """
    return decode(rows[ROW].body) if ROW in rows else ModelMemory()


def changes(
    rows: Rows, model: str, kept: Iterable[StreamState], memory: ModelMemory, *, at: float
) -> list[WatchState]:
    """The rows to write so that these are remembered; none where they are already."""
    bodies = {each.stream.id: state.encode(each) for each in kept} | {ROW: encode(memory)}
    return [
        _following(rows.get(name), model, name, body, at=at)
        for name, body in bodies.items()
        if name not in rows or rows[name].body != body
    ]


def amend(
    view: Ledger,
    model: str,
    stream_id: str,
    change: Callable[[StreamState], StreamState | None],
    *,
    at: float,
) -> StreamState | None:
    """The state of a stream after a change, written; None where the change found nothing to do.

    Args:
        view: of the real ledger.
        model: the model.
        stream_id: the stream's id.
        change: from the state as it is now to the new one, or None; it may run more than once.
        at: in seconds since the epoch.

    Raises:
        RequestRefused: there is no such stream.
        WatchedMeanwhile: other watches were faster time and again.
    """

    def decoded(row: WatchState | None) -> StreamState:
        if row is None:
            raise errors.RequestRefused(f"no stream {stream_id} of model {model} is remembered")
        return state.decode(row.body)

    return _amend(view, model, stream_id, decoded, state.encode, change, at=at)


def amend_memory(
    view: Ledger, model: str, change: Callable[[ModelMemory], ModelMemory | None], *, at: float
) -> ModelMemory | None:
    """The memory of a model after a change, written; else as `amend`."""

    def decoded(row: WatchState | None) -> ModelMemory:
        return ModelMemory() if row is None else decode(row.body)

    return _amend(view, model, ROW, decoded, encode, change, at=at)


def _amend(
    view: Ledger,
    model: str,
    name: str,
    decode: Callable[[WatchState | None], T],
    encode: Callable[[T], str],
    change: Callable[[T], T | None],
    *,
    at: float,
) -> T | None:
    def once() -> T | None:
        row = view.read(watch_states.states, model).get(name)
        new = change(decode(row))
        if new is not None:
            view.write(watch_states.keep, [_following(row, model, name, encode(new), at=at)])
        return new

    return again(once)


def _following(row: WatchState | None, model: str, name: str, body: str, *, at: float) -> WatchState:
    if row is None:
        return WatchState(model=model, stream=name, updated_at=at, body=body)
    return msgspec.structs.replace(row, updated_at=at, body=body)


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
