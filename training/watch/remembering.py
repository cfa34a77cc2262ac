"""Between the ledger's rows and the states of a model: reads all, writes what changed, changes one safely."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from sidecar.ledger.watch_states import WatchedMeanwhile, WatchState, WatchView
from training import errors
from training.watch import state, triggers
from training.watch.feeding import States
from training.watch.state import StreamState
from training.watch.triggers import ModelMemory

T = TypeVar("T")
Rows = Mapping[str, WatchState]

MOST_ATTEMPTS = 5
"""How often something is done again where another watch wrote meanwhile."""


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
    found = [state.decode(row.body) for name, row in rows.items() if name != triggers.ROW]
    return {each.stream: each for each in found}


def memory(rows: Rows) -> ModelMemory:
    """What is remembered of the model itself; nothing at first.

    Raises:
        RequestRefused: it cannot be read by this version.
    """
    return triggers.decode(rows[triggers.ROW].body) if triggers.ROW in rows else ModelMemory()


def changes(
    rows: Rows, model: str, kept: Iterable[StreamState], memory: ModelMemory, *, at: float
) -> list[WatchState]:
    """The rows to write so that these are remembered; none where they are already."""
    bodies = {each.stream.id: state.encode(each) for each in kept} | {triggers.ROW: triggers.encode(memory)}
    return [
        _following(rows.get(name), model, name, body, at=at)
        for name, body in bodies.items()
        if name not in rows or rows[name].body != body
    ]


def amend(
    view: WatchView,
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
    view: WatchView, model: str, change: Callable[[ModelMemory], ModelMemory | None], *, at: float
) -> ModelMemory | None:
    """The memory of a model after a change, written; else as `amend`."""

    def decoded(row: WatchState | None) -> ModelMemory:
        return ModelMemory() if row is None else triggers.decode(row.body)

    return _amend(view, model, triggers.ROW, decoded, triggers.encode, change, at=at)


def _amend(
    view: WatchView,
    model: str,
    name: str,
    decode: Callable[[WatchState | None], T],
    encode: Callable[[T], str],
    change: Callable[[T], T | None],
    *,
    at: float,
) -> T | None:
    def once() -> T | None:
        row = view.states(model).get(name)
        new = change(decode(row))
        if new is not None:
            view.keep([_following(row, model, name, encode(new), at=at)])
        return new

    return again(once)


def _following(row: WatchState | None, model: str, name: str, body: str, *, at: float) -> WatchState:
    if row is None:
        return WatchState(model=model, stream=name, updated_at=at, body=body)
    return msgspec.structs.replace(row, updated_at=at, body=body)
