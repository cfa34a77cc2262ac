"""Promotion: moves the aliases that sidecars follow, forth and back, and leaves a trace of every move."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibrators import errors
from sidecar import dialect, times
from sidecar.dialect import APPROVED_TAG, CHAMPION, PREVIOUS, REVOKED_TAG, Move, MoveKind, Standing
from training.registry import versions
from training.registry.versions import RegistryRefused

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """An alias that was moved.

    Attributes:
        name: the registered model.
        alias: the alias.
        from_version: where it was; None if it was nowhere.
        to_version: where it is now.
    """

    name: str
    alias: str
    from_version: str | None
    to_version: str


def promote(
    name: str,
    version: str,
    *,
    alias: str = CHAMPION,
    kind: MoveKind = "promote",
    approve: bool = False,
    by: str,
    reason: str,
    clock: Callable[[], float] = time.time,
) -> Promotion:
    """Moves an alias to a version, because a person or a gate says so; both versions tell of it.

    A person's promotion to where the alias is already lets retrains move it again, if a rollback or a move by
    hand keeps them from it.

    Args:
        name: the registered model.
        version: the version's number.
        alias: the alias.
        kind: `promote` for a person, `retrain` for a gate that accepted.
        approve: mark the version as approved to change the routing by more than the policy admits.
        by: who promotes.
        reason: why.
        clock: seconds since the epoch.

    Raises:
        RegistryRefused: there is no such version, or its gate says that it needs an approval and it has none.
        CalibratorRefused: it was revoked, or it cannot be verified.
    """
    _require_reason(by, reason)
    registry = versions.client()
    with versions.asking(name, version):
        versions.verified(registry, name, version)
        if approve:
            mark(registry, name, version, APPROVED_TAG, by=by, reason=reason, clock=clock)
        else:
            _require_approval(registry, name, version)
        moved = move(registry, name, alias, version, kind=kind, by=by, reason=reason, clock=clock)
        keep_previous(registry, name)
        return moved


def rollback(
    name: str,
    *,
    alias: str = CHAMPION,
    by: str,
    reason: str,
    clock: Callable[[], float] = time.time,
) -> Promotion:
    """Moves an alias back to where it was before, and revokes the version that it leaves.

    No retrain promotes over it until a person did.

    The alias moves first: a sidecar takes a revoked calibrator out of force, and would hold everything until
    the alias names another.

    Args:
        name: the registered model.
        alias: the alias.
        by: who rolls back.
        reason: why.
        clock: seconds since the epoch.

    Raises:
        RegistryRefused: the alias is nowhere, or was nowhere before that could still be used.
    """
    _require_reason(by, reason)
    registry = versions.client()
    with versions.asking(name):
        current = versions.alias_version(registry, name, alias)
        if current is None:
            raise RegistryRefused(
                f"the registered model {name} has no alias {alias}: there is nothing to roll back",
                code="ALIAS_UNKNOWN",
            )
        place = _way_back(registry, name, alias, current)
        if place is None:
            raise RegistryRefused(
                f"alias {alias} of {name} is at version {current} and was at no other version that can still "
                f"be used: name one yourself, `promote VERSION --name {name} --reason TEXT`, or delete the alias "
                f"and set the version's tag {REVOKED_TAG}, which makes every sidecar hold",
                code="HISTORY_MISSING",
            )
        # The brake must not wait for an approval, however much the way back shifts.
        mark(registry, name, place, APPROVED_TAG, by=by, reason=reason, clock=clock)
        moved = move(registry, name, alias, place, kind="rollback", by=by, reason=reason, clock=clock)
        mark(registry, name, current, REVOKED_TAG, by=by, reason=reason, clock=clock)
        keep_previous(registry, name)
        return moved


def move(
    registry: "MlflowClient",
    name: str,
    alias: str,
    version: str,
    *,
    kind: MoveKind,
    by: str,
    reason: str,
    clock: Callable[[], float],
) -> Promotion:
    """Moves an alias and writes its history, with the run that registered the version as the evidence.

    Where it is there already nothing happens, unless a person's promotion ends what keeps retrains from it.

    Args:
        registry: MLflow's client.
        name: the registered model.
        alias: the alias.
        version: where it goes.
        kind: what moves it.
        by: who moves it.
        reason: why.
        clock: seconds since the epoch.

    Raises:
        RegistryRefused: somebody else moved it at the same time.
        MlflowException: the registry does not do it.
    """
    origin = versions.alias_version(registry, name, alias)
    promotion = Promotion(name=name, alias=alias, from_version=origin, to_version=version)
    if origin == version and kind != "promote":
        return promotion
    past = dialect.history(each.tags for each in versions.all_versions(registry, name))
    if origin == version and dialect.standing(past, alias, origin) is None:
        return promotion
    at = dialect.next_time(clock(), past)
    planned = Move(
        key=dialect.move_key(at),
        alias=alias,
        kind=kind,
        from_version=origin or "",
        to_version=version,
        by=by,
        reason=reason,
        at=at,
        evidence=registry.get_model_version(name, version).run_id or "",
    )
    # The intention first, so that no move is without a trace; what did not happen is never marked as done.
    registry.set_model_version_tag(name, version, *planned.tag())
    registry.set_registered_model_alias(name, alias, version)
    reached = versions.alias_version(registry, name, alias)
    if reached != version:
        raise RegistryRefused(
            f"alias {alias} of {name} was moved to {reached} by somebody else meanwhile: look who, and try "
            "again",
            code="ALIAS_MOVED",
        )
    done = planned.completed()
    registry.set_model_version_tag(name, version, *done.tag())
    if origin is not None and any(
        str(each.version) == origin for each in versions.all_versions(registry, name)
    ):
        registry.set_model_version_tag(name, origin, *done.tag())
    return promotion


def standing(name: str, alias: str = CHAMPION) -> Standing | None:
    """What keeps a retrain from moving an alias; see `dialect.standing`.

    Raises:
        RegistryRefused: the registry cannot be read.
    """
    registry = versions.client()
    try:
        with versions.asking(name):
            current = versions.alias_version(registry, name, alias)
            past = dialect.history(each.tags for each in versions.all_versions(registry, name))
    except RegistryRefused as refusal:
        if refusal.code == "REGISTERED_MODEL_UNKNOWN":
            return None
        raise
    return dialect.standing(past, alias, current)


def mark(
    registry: "MlflowClient",
    name: str,
    version: str,
    tag: str,
    *,
    by: str,
    reason: str,
    clock: Callable[[], float],
) -> None:
    """Sets a tag of a version to who said so, why and when."""
    time_text = times.rfc3339(clock())
    value = json.dumps({"by": by, "reason": reason, "time": time_text}, sort_keys=True)
    registry.set_model_version_tag(name, version, tag, value)


def keep_previous(registry: "MlflowClient", name: str) -> None:
    """Lets the alias `previous` say where a rollback of the champion would go.

    It is for people who look at the registry; the history does not depend on it.
    """
    current = versions.alias_version(registry, name, CHAMPION)
    place = None if current is None else _way_back(registry, name, CHAMPION, current)
    if place is not None:
        registry.set_registered_model_alias(name, PREVIOUS, place)
    elif versions.alias_version(registry, name, PREVIOUS) is not None:
        registry.delete_registered_model_alias(name, PREVIOUS)


def _way_back(registry: "MlflowClient", name: str, alias: str, current: str) -> str | None:
    """The last version that an alias was at before and that a sidecar would still take."""
    past = dialect.history(version.tags for version in versions.all_versions(registry, name))
    for place in dialect.earlier_places(past, alias, current):
        if _usable(registry, name, place):
            return place
    return None


def _usable(registry: "MlflowClient", name: str, version: str) -> bool:
    """Whether a sidecar would take a version."""
    from mlflow.exceptions import MlflowException

    try:
        versions.verified(registry, name, version)
    except errors.TruebandError:
        return False
    except MlflowException as error:
        if error.error_code in dialect.UNKNOWN_CODES:  # it was deleted
            return False
        raise
    return True


def _require_approval(registry: "MlflowClient", name: str, version: str) -> None:
    tags = registry.get_model_version(name, version).tags
    reasons = tags.get(versions.GATE_REASONS_TAG, "").replace(" ", "").split(",")
    if "SHIFT_NEEDS_APPROVAL" in reasons and not tags.get(APPROVED_TAG, "").strip():
        raise RegistryRefused(
            f"version {version} of {name} changes the automatic share by more than the policy admits, and "
            "sidecars refuse it until a person approves: read its evidence, then `promote --approve`",
            code="APPROVAL_NEEDED",
        )


def _require_reason(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise RegistryRefused("say who moves the alias, and why", code="REQUEST_REFUSED")
