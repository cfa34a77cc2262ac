"""Alias history: the moves of an alias, which MLflow does not keep, written as tags on the versions.

MLflow leaves no trace of an alias that is moved. Each move of ours is a version tag of its own,
`trueband.move.TIME`, on the version that the alias went to and on the one that it left.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Literal, get_args

MOVE_TAG = "trueband.move."
MoveKind = Literal["publish", "promote", "retrain", "rollback"]
"""A `retrain` is a promotion that no person asked for: its gate accepted."""

Standing = Literal["ROLLED_BACK", "MOVED_BY_HAND"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of an alias.

    Attributes:
        alias: the alias.
        kind: what moved it.
        from_version: where it was; None if it was nowhere.
        to_version: where it went.
        by: who moved it.
        reason: why.
        at: seconds since the epoch; no two moves of a registered model share it.
        evidence: the MLflow run that it was based on; empty: none, or a move from before this was kept.
        done: False until the alias was seen to have moved.
    """

    alias: str
    kind: MoveKind
    from_version: str | None
    to_version: str
    by: str
    reason: str
    at: float
    evidence: str = ""
    done: bool = False

    def completed(self) -> "Move":
        """The move, done."""
        return replace(self, done=True)

    def tag(self) -> tuple[str, str]:
        """Key and value of the tag that keeps it."""
        time = datetime.fromtimestamp(self.at, UTC)
        value = {**asdict(self), "time": time.isoformat(timespec="seconds")}
        return f"{MOVE_TAG}{time:%Y%m%dT%H%M%S.%f}Z", json.dumps(value, sort_keys=True)


def moves(tags_of_versions: Iterable[Mapping[str, str]]) -> tuple[Move, ...]:
    """Every move that the tags of a registered model's versions tell of, oldest first.

    Args:
        tags_of_versions: the tags of each version. What is no move of ours is left out.
    """
    found: dict[str, Move] = {}
    for tags in tags_of_versions:
        for key, value in tags.items():
            move = _parsed(value) if key.startswith(MOVE_TAG) else None
            # A move stands on two versions; the copy that was written last knows whether it was done.
            if move is not None and (key not in found or move.done):
                found[key] = move
    return tuple(sorted(found.values(), key=lambda move: move.at))


def standing(past: Iterable[Move], alias: str, current: str | None) -> Standing | None:
    """What stands in the way of moving an alias without a person; None where nothing does.

    ROLLED_BACK: its last move was a rollback. MOVED_BY_HAND: it is where no move of ours put it, or is gone.
    Either ends with a person's own `promote`.

    Args:
        past: the moves so far, oldest first.
        alias: the alias.
        current: where it is now; None if it is nowhere.
    """
    done = [move for move in past if move.alias == alias and move.done]
    if not done:
        return None if current is None else "MOVED_BY_HAND"
    last = done[-1]
    if last.to_version != current:
        return "MOVED_BY_HAND"
    return "ROLLED_BACK" if last.kind == "rollback" else None


def next_time(now: float, past: Iterable[Move]) -> float:
    """A time for a new move: now, or just after the last move where the clock has not got that far.

    Args:
        now: seconds since the epoch.
        past: the moves so far, of every alias.
    """
    last = max((move.at for move in past), default=None)
    return round(now if last is None else max(now, last + 1e-3), 6)


def earlier_places(past: Iterable[Move], alias: str, current: str) -> tuple[str, ...]:
    """The versions that an alias could go back to, the latest first.

    A rollback undoes the move that led here, so a second one goes a step further back, and not forth again.
    Where the alias is now somewhere that no move led to, somebody moved it by hand, and the way back starts
    with where our last move had put it.

    Args:
        past: the moves so far.
        alias: the alias.
        current: where it is now.
    """
    places: list[str] = []
    for move in past:
        if move.alias != alias or not move.done:
            continue
        if move.from_version is not None and places[-1:] != [move.from_version]:
            places.append(move.from_version)
        if move.kind == "rollback":
            while places and places[-1] != move.to_version:
                places.pop()
        if places[-1:] != [move.to_version]:
            places.append(move.to_version)
    unique = dict.fromkeys(reversed(places))
    return tuple(version for version in unique if version != current)


def _parsed(value: str) -> Move | None:
    try:
        fields = json.loads(value)
        fields.pop("time")
        move = Move(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return move if move.kind in get_args(MoveKind) else None
