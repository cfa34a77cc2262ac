"""The dialect: what sidecars and training say to each other through MLflow, and how they name things there.

Tags of versions, moves of aliases, `models:/` addresses, slots, and what makes a version unusable: each is
written and read by this module alone. It knows no MLflow: values come in and go out.

MLflow keeps no history of an alias. Whoever moves one with `trueband-training` leaves a tag
`trueband.move.TIME` on the version that it goes to and on the one that it leaves: first the intention, then,
once the alias was seen to have moved, the same with `done`. What no such tag accounts for was moved by hand.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self, cast, get_args

from calibrators.errors import CalibratorRefused

OWN_TAGS = "trueband."
"""How the tags that Trueband sets begin."""

DIGEST_TAG = "trueband.sha256"
REVOKED_TAG = "trueband.revoked"
KIND_TAG = "trueband.kind"
MOVE_TAG = "trueband.move."
APPROVED_TAG = "trueband.approved"
"""Lets a version change the routing by more than the policy's `admission.max_auto_shift`."""

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
"""The aliases: what decides, what is only evaluated, and where a rollback would go."""

UNKNOWN_CODES = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
"""MLflow's codes for a registered model or a version that is not there."""

MOST_BYTES = 16_384
"""Of a tag: whoever may write tags might write anything."""

SHARE_ROOM = 1e-12
"""A hair: shares are fractions, and a shift of exactly the limit is admitted."""


def client_environment(*, seconds: int, retries: int) -> dict[str, str]:
    """What we set for MLflow's client where the user did not.

    Its own 120 seconds and 7 retries take four minutes to say that nobody listens; it would phone home, and
    print addresses and bars between the lines, or into the JSON, that a command writes.

    Args:
        seconds: that a request may take.
        retries: of a request.
    """
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }


# Addresses of calibrators.

SOURCE_FORMS = "models:/NAME@champion, models:/NAME/3 or file:PATH"
_REGISTERED = re.compile(r"models:/([^/@]+)(?:@([A-Za-z0-9_-]+)|/([1-9][0-9]*))")


class Registered(NamedTuple):
    """A calibrator in the registry: of a registered model what an alias names, or the version of a number."""

    name: str
    alias: str = ""
    version: str = ""

    @property
    def uri(self) -> str:
        """`models:/NAME@alias` or `models:/NAME/3`."""
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"


def registered(uri: str) -> Registered | None:
    """What a URI names in the registry; None where it names something else, or nothing."""
    match = _REGISTERED.fullmatch(uri)
    return None if match is None else Registered(*(part or "" for part in match.groups()))


# Slots, by which the ledger keeps what was in force.

SlotRole = Literal["calibrator", "challenger"]
CALIBRATOR_SLOTS = "calibrator:"
"""How the names of the slots of what decides begin."""


def slot_name(role: SlotRole, model: str, model_version: str = "", source: str = "primary") -> str:
    """The name of a slot: `calibrator:MODEL[:VERSION][:SOURCE]`, or `challenger:MODEL[:VERSION]`.

    Args:
        role: whether it decides, or is evaluated beside what does.
        model: a key of the policy's models.
        model_version: a version with a calibrator of its own; empty: the model's.
        source: whose answers it is for: `primary`, `secondary` or `rules/NAME`.
    """
    return ":".join(
        part for part in (role, model, model_version, "" if source == "primary" else source) if part
    )


# Whether a version may be used, which either side asks.


def revoked(version: str, mark: str = "") -> CalibratorRefused:
    """The refusal of a version that somebody revoked; `mark` is what the tag says about who, and why."""
    told = f" ({mark})" if mark else ""
    return CalibratorRefused(
        f"{version} was revoked{told}: move the alias to another version, or register a new one",
        code="CALIBRATOR_REVOKED",
    )


def without_digest(version: str) -> CalibratorRefused:
    """The refusal of a version that does not say which document it should hold."""
    return CalibratorRefused(
        f"{version} has no tag {DIGEST_TAG}, without which no sidecar takes it: register it with "
        "`trueband-training fit --register`, or `retrain`, which set it",
        code="DIGEST_TAG_MISSING",
    )


def altered(version: str, digest: str, registered_digest: str) -> CalibratorRefused:
    """The refusal of a version whose document is not the one that was registered."""
    return CalibratorRefused(
        f"{version} holds a document with digest {digest}, but was registered with {registered_digest}: its "
        "bytes were changed; register the calibrator again",
        code="DIGEST_MISMATCH",
    )


def goes_live(shift: float, limit: float) -> bool:
    """Whether what shifts the automatic share by so much goes live without a person's approval.

    Args:
        shift: of the share of automatic answers, as a fraction.
        limit: the policy's `admission.max_auto_shift`.
    """
    return shift <= limit + SHARE_ROOM


# Moves of an alias.

MoveKind = Literal["publish", "promote", "retrain", "rollback"]
"""What moves an alias. A `retrain` is a promotion that no person asked for: its gate accepted."""

Standing = Literal["ROLLED_BACK", "MOVED_BY_HAND"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of an alias, as its tag tells it.

    Attributes:
        key: of the tag; keys sort by time, and no two moves of a registered model share one.
        alias: the alias.
        kind: what moved it.
        from_version: where it was; empty: nowhere.
        to_version: where it went.
        by: who moved it.
        reason: why.
        evidence: the MLflow run that it was based on; empty: none was named.
        at: seconds since the epoch.
        done: False until the alias was seen to have moved.
    """

    key: str
    alias: str
    kind: MoveKind
    from_version: str
    to_version: str
    by: str
    reason: str
    evidence: str = ""
    at: float
    done: bool = False

    def completed(self) -> Self:
        """The move, done."""
        return replace(self, done=True)

    def tag(self) -> tuple[str, str]:
        """Key and value of the tag that keeps it."""
        value = {
            "alias": self.alias,
            "kind": self.kind,
            "from_version": self.from_version or None,
            "to_version": self.to_version,
            "by": self.by,
            "reason": self.reason,
            "evidence": self.evidence,
            "at": self.at,
            "time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            "done": self.done,
        }
        return self.key, json.dumps(value, sort_keys=True)


def move_key(at: float) -> str:
    """The key of the tag of a move.

    Args:
        at: when, in seconds since the epoch; see `next_time`.
    """
    return f"{MOVE_TAG}{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S.%f}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an alias was last seen, and the key of the last move that was accounted for then."""

    version: str
    move: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasStep:
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


def moves_of(tags: Mapping[str, str], alias: str | None = None) -> dict[str, Move]:
    """The moves that the tags of one version tell of, by key. What is no move is left out.

    Args:
        tags: of the version.
        alias: only this one's; None means every alias.
    """
    moves = {}
    for key, value in tags.items():
        if key.startswith(MOVE_TAG) and len(value) <= MOST_BYTES:
            move = _parsed(key, value)
            if move is not None and alias in (None, move.alias):
                moves[key] = move
    return moves


def merged(accounts: Iterable[Mapping[str, Move]]) -> dict[str, Move]:
    """All moves of several versions: one stands on two, and the copy that was written last knows of its end."""
    moves: dict[str, Move] = {}
    for account in accounts:
        for key, move in account.items():
            if key not in moves or move.done:
                moves[key] = move
    return moves


def history(tags_of_versions: Iterable[Mapping[str, str]]) -> tuple[Move, ...]:
    """Every move of every alias that the tags of a registered model's versions tell of, oldest first."""
    return tuple(sorted(merged(map(moves_of, tags_of_versions)).values(), key=lambda move: move.at))


def path(since: Place, current: str, moves: Mapping[str, Move]) -> tuple[AliasStep, ...]:
    """The steps by which an alias went from where it was last seen to where it is now, in order.

    Args:
        since: where it was last seen.
        current: where it is; empty: nowhere.
        moves: what is known of its moves.
    """
    steps: list[AliasStep] = []
    position = since.version
    for key in sorted(moves):
        move = moves[key]
        if key <= since.move or not move.done:
            continue
        if move.from_version != position:
            steps.append(AliasStep(from_version=position, to_version=move.from_version, before=key))
        steps.append(AliasStep(from_version=move.from_version, to_version=move.to_version, move=move))
        position = move.to_version
    if position != current:
        steps.append(AliasStep(from_version=position, to_version=current))
    return tuple(steps)


def unfinished(since: Place, current: str, moves: Mapping[str, Move]) -> Move | None:
    """The move that went here and does not say yet that it is done: whoever makes it is about to say so."""
    begun = [
        move
        for key, move in moves.items()
        if key > since.move and not move.done and move.to_version == current
    ]
    return max(begun, key=lambda move: move.key, default=None)


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
        if move.from_version and places[-1:] != [move.from_version]:
            places.append(move.from_version)
        if move.kind == "rollback":
            while places and places[-1] != move.to_version:
                places.pop()
        if places[-1:] != [move.to_version]:
            places.append(move.to_version)
    unique = dict.fromkeys(reversed(places))
    return tuple(version for version in unique if version != current)


def _parsed(key: str, value: str) -> Move | None:
    try:
        fields = json.loads(value)
        if fields["kind"] not in get_args(MoveKind):
            return None
        move = Move(
            key=key,
            alias=fields["alias"],
            kind=cast("MoveKind", fields["kind"]),
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
    texts = (move.alias, move.from_version, move.to_version, move.by, move.reason, move.evidence)
    return move if all(isinstance(text, str) for text in texts) else None
