"""Moves: what the tags of versions tell about how an alias came to where it is.

MLflow keeps no history of an alias. Whoever moves one with `python -m training` leaves a tag
`trueband.move.TIME` on the version that it goes to and on the one that it leaves: first the intention, then,
once the alias was seen to have moved, the same with `done`. What no such tag accounts for was moved by hand.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sidecar.decision.records import GovernanceKind

MOVE_TAG = "trueband.move."
MOST_BYTES = 16_384
"""Of a tag: whoever may write tags might write anything."""

KINDS: Mapping[str, GovernanceKind] = {
    "publish": "PROMOTED",
    "promote": "PROMOTED",
    "retrain": "RETRAINED",
    "rollback": "ROLLED_BACK",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of an alias, as its tag tells it.

    Attributes:
        key: of the tag; keys sort by time, and no two moves of a registered model share one.
        kind: what moved it.
        from_version: where it was; empty: nowhere.
        to_version: where it went.
        by: who moved it.
        reason: why.
        evidence: the run that it was based on; empty: none was named.
        at: seconds since the epoch.
        done: False until the alias was seen to have moved.
    """

    key: str
    kind: GovernanceKind
    from_version: str
    to_version: str
    by: str
    reason: str
    evidence: str
    at: float
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an alias was last seen, and the key of the last move that was accounted for then."""

    version: str
    move: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of an alias; without a move it was made by hand.

    Attributes:
        from_version: where it was; empty: nowhere.
        to_version: where it went; empty: nowhere.
        move: the tag that tells of it.
        before: the key of the move that followed, from which it is known that this one came before.
    """

    from_version: str
    to_version: str
    move: Move | None = None
    before: str = ""


def told(tags: Mapping[str, str], alias: str) -> dict[str, Move]:
    """The moves of an alias that the tags of one version tell of, by key. What is no move is left out."""
    found = {}
    for key, value in tags.items():
        if key.startswith(MOVE_TAG) and len(value) <= MOST_BYTES:
            move = _parsed(key, value, alias)
            if move is not None:
                found[key] = move
    return found


def merged(accounts: Iterable[Mapping[str, Move]]) -> dict[str, Move]:
    """All moves of several versions: one stands on two, and the copy that was written last knows of its end."""
    found: dict[str, Move] = {}
    for account in accounts:
        for key, move in account.items():
            if key not in found or move.done:
                found[key] = move
    return found


def path(since: Place, current: str, moves: Mapping[str, Move]) -> tuple[Step, ...]:
    """The steps by which an alias went from where it was last seen to where it is now, in order.

    Args:
        since: where it was last seen.
        current: where it is; empty: nowhere.
        moves: what is known of its moves.
    """
    steps: list[Step] = []
    position = since.version
    for key in sorted(moves):
        move = moves[key]
        if key <= since.move or not move.done:
            continue
        if move.from_version != position:
            steps.append(Step(from_version=position, to_version=move.from_version, before=key))
        steps.append(Step(from_version=move.from_version, to_version=move.to_version, move=move))
        position = move.to_version
    if position != current:
        steps.append(Step(from_version=position, to_version=current))
    return tuple(steps)


def unfinished(since: Place, current: str, moves: Mapping[str, Move]) -> Move | None:
    """The move that went here and does not say yet that it is done: whoever makes it is about to say so."""
    begun = [
        move
        for key, move in moves.items()
        if key > since.move and not move.done and move.to_version == current
    ]
    return max(begun, key=lambda move: move.key, default=None)


def _parsed(key: str, value: str, alias: str) -> Move | None:
    try:
        fields = json.loads(value)
        if fields["alias"] != alias:
            return None
        move = Move(
            key=key,
            kind=KINDS.get(fields["kind"], "PROMOTED"),
            from_version=fields["from_version"] or "",
            to_version=fields["to_version"],
            by=fields["by"],
            reason=fields["reason"],
            evidence=fields.get("evidence") or "",
            at=float(fields["at"]),
            done=fields["done"] is True,
        )
        datetime.fromtimestamp(move.at)  # noqa: DTZ006 (only whether there is such a time)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
        return None
    texts = (move.from_version, move.to_version, move.by, move.reason, move.evidence)
    return move if all(isinstance(text, str) for text in texts) else None
