"""Suspensions: the brake. Floors that a person sets while the service runs, and that only a person lifts.

A suspension is one event, its lifting another. Both are immutable, so what is in force follows from the set
of events alone, whatever the order in which, and however often, a sidecar hears of them.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sidecar.policy.actions import PERSON_ACTIONS, AnswerSource, Reason
from sidecar.policy.floors import FloorHit

PERMITTED = tuple(sorted(PERSON_ACTIONS))
STEP_SOURCES = (AnswerSource.RULES, AnswerSource.SECONDARY)


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a suspension covers; a field that is left out covers all.

    Attributes:
        tenant: None covers all, since the default tenant is the empty string.
        category: in its normal form.
    """

    tenant: str | None = None
    model: str = ""
    model_version: str = ""
    band: str = ""
    category: str = ""
    source: AnswerSource | None = None


class Suspension(
    msgspec.Struct, frozen=True, kw_only=True, tag="suspended", omit_defaults=True, forbid_unknown_fields=True
):
    """What must not act, why, and who says so since when (in seconds since the epoch) on which sidecar."""

    suspension_id: str
    scope: Scope
    explanation: str
    suspended_by: str
    suspended_at: float
    sidecar_id: str


class Resumption(
    msgspec.Struct, frozen=True, kw_only=True, tag="resumed", omit_defaults=True, forbid_unknown_fields=True
):
    """That a person has lifted the suspension of that id, and why."""

    suspension_id: str
    explanation: str
    resumed_by: str
    resumed_at: float
    sidecar_id: str


Event = Suspension | Resumption

UNKNOWN = Suspension(
    suspension_id="unknown",
    scope=Scope(),
    explanation="it is not known what is suspended",
    suspended_by="trueband",
    suspended_at=0.0,
    sidecar_id="",
)
"""What binds as long as nobody has told what is suspended: everything. No event, and in no file."""

REASONS = frozenset({Reason.SUSPENDED, Reason.SUSPENSIONS_UNKNOWN})
"""The reasons that the floors of the brake give."""


class Suspensions(msgspec.Struct, frozen=True):
    """All that is known of suspensions, by id: those that were set, and those that were lifted."""

    suspended: Mapping[str, Suspension] = {}
    resumed: Mapping[str, Resumption] = {}

    def active(self) -> tuple[Suspension, ...]:
        """Those in force, the newest first."""
        held = [each for name, each in self.suspended.items() if name not in self.resumed]
        return tuple(sorted(held, key=lambda each: (each.suspended_at, each.suspension_id), reverse=True))

    def events(self) -> tuple[Event, ...]:
        """Every event, in an order that the content alone decides."""
        return (
            *(self.suspended[name] for name in sorted(self.suspended)),
            *(self.resumed[name] for name in sorted(self.resumed)),
        )


def merge(known: Suspensions, events: Iterable[Event]) -> Suspensions:
    """What is known with these events added; the same in whatever order, and however often, they come.

    A resumption lifts the suspension of its own id and no other, also one that is heard of later. Of two
    accounts of one event the lesser in order counts, so that all sidecars keep the same.
    """
    suspended, resumed = dict(known.suspended), dict(known.resumed)
    for event in events:
        if isinstance(event, Suspension):
            suspended[event.suspension_id] = min(
                suspended.get(event.suspension_id, event), event, key=msgspec.json.encode
            )
        else:
            resumed[event.suspension_id] = min(
                resumed.get(event.suspension_id, event), event, key=msgspec.json.encode
            )
    return Suspensions(suspended, resumed)


def without_oldest_lifted(known: Suspensions, most: int) -> Suspensions:
    """What is known, with at most so many of the liftings, the newest, and their suspensions.

    What is in force stays. Forgetting a lifting can only bring a suspension back.
    """
    if len(known.resumed) <= most:
        return known
    newest = sorted(known.resumed.values(), key=lambda each: (each.resumed_at, each.suspension_id))
    kept = {each.suspension_id: each for each in newest[len(newest) - most :]}
    held = {name: each for name, each in known.suspended.items() if name not in known.resumed or name in kept}
    return Suspensions(held, kept)


def hits(
    active: Sequence[Suspension],
    *,
    tenant: str,
    model: str,
    model_version: str,
    band: str | None,
    category: str,
    source: AnswerSource,
) -> tuple[FloorHit, ...]:
    """The floor of every suspension that covers an answer; nothing at once where there is none.

    Args:
        active: the suspensions in force.
        tenant: of the request.
        model: its model.
        model_version: of the primary model.
        band: of the answer; None where it is not known before the answer is asked for: then every band is
            covered.
        category: in its normal form.
        source: who gives the answer.
    """
    if not active:
        return ()
    return tuple(
        floor(each)
        for each in active
        if each.scope.tenant in (None, tenant)
        and each.scope.model in ("", model)
        and each.scope.model_version in ("", model_version)
        and (band is None or each.scope.band in ("", band))
        and each.scope.category in ("", category)
        and each.scope.source in (None, source)
    )


def hits_by_source(
    active: Sequence[Suspension], *, tenant: str, model: str, model_version: str, category: str
) -> dict[AnswerSource, tuple[FloorHit, ...]]:
    """The floors that bind the answers of each machine step, for the fallback chain; empty where none do.

    A step is not asked where it may not act, so the band of its answer is never known here: a suspended band
    keeps back a step's answers in all of them.
    """
    if not active:
        return {}
    binding_by_source = {
        source: hits(
            active,
            tenant=tenant,
            model=model,
            model_version=model_version,
            band=None,
            category=category,
            source=source,
        )
        for source in STEP_SOURCES
    }
    return {source: binding for source, binding in binding_by_source.items() if binding}


def floor(suspension: Suspension) -> FloorHit:
    """The floor that a suspension is."""
    if suspension.suspension_id == UNKNOWN.suspension_id:
        return UNKNOWN_FLOOR
    return FloorHit(
        floor=f"suspension:{suspension.suspension_id}", reason=Reason.SUSPENDED, permitted=PERMITTED
    )


UNKNOWN_FLOOR = FloorHit(floor="suspensions_unknown", reason=Reason.SUSPENSIONS_UNKNOWN, permitted=PERMITTED)


def recorded(floors: Iterable[FloorHit]) -> tuple[FloorHit, ...]:
    """The suspensions among the floors that were recorded with a decision: what it is decided again with."""
    return tuple(each for each in floors if each.reason in REASONS)


def text(scope: Scope) -> str:
    """The scope in words, such as `model leads, band auto`; `everything` where it covers all."""
    parts = [f"tenant {scope.tenant!r}"] if scope.tenant is not None else []
    for name in ("model", "model_version", "band", "category"):
        value = getattr(scope, name)
        if value:
            parts.append(f"{name.replace('_', ' ')} {value}")
    if scope.source is not None:
        parts.append(f"source {scope.source}")
    return ", ".join(parts) or "everything"
