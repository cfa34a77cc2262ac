"""The review tasks that a decision opens: when each is due, and what the policy says about it."""

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sidecar.decision.records import PlannedTask
from sidecar.policy.actions import TaskKind
from sidecar.policy.upkeep import Review

END_OF_BUSINESS = time(18, 0)
QUARTER_HOUR_SECONDS = 900


BLINDABLE_KINDS = frozenset({TaskKind.HOLD, TaskKind.BATCH, TaskKind.AUDIT})
"""A senior person who takes over, or who settles a disagreement, must see what it is about."""


def never_blind(_: TaskKind) -> float:
    """A draw that makes no task blind."""
    return 1.0


def plan(
    kinds: Sequence[TaskKind],
    decided_at: float,
    review: Review,
    *,
    category: str = "",
    criterion: str = "correct",
    mandatory: bool = False,
    audit_opens_at: float | None = None,
    blind_draw: Callable[[TaskKind], float] = never_blind,
) -> tuple[PlannedTask, ...]:
    """The tasks that a decision opens.

    Args:
        kinds: of the tasks.
        decided_at: seconds since the epoch, as are the due times.
        review: what the policy says.
        category: in normal form.
        criterion: by which the model's answers are judged.
        mandatory: whether only a person may let the answer act; then no task expires.
        audit_opens_at: when an audit's task opens, if not at once.
        blind_draw: a number in [0, 1) for a kind; the task is blind where it is below the policy's share.
    """
    skill = review.skill_for(category)
    planned = []
    for kind in kinds:
        opens_at = decided_at
        if kind is TaskKind.AUDIT and audit_opens_at is not None:
            opens_at = audit_opens_at
        due_at = _due_at(kind, opens_at, review)
        expire_after = None if mandatory else review.expire_after.get(kind)
        planned.append(
            PlannedTask(
                kind=kind,
                due_at=due_at,
                blind=(
                    review.blind_share > 0.0
                    and kind in BLINDABLE_KINDS
                    and blind_draw(kind) < review.blind_share
                ),
                overlap=review.overlap.get(kind, 1),
                skill=skill,
                criterion=criterion,
                expires_at=None if expire_after is None else due_at + expire_after,
            )
        )
    return tuple(planned)


def next_business_day_end(moment: float, time_zone: str) -> float:
    """18:00 of the next day from Monday to Friday, in the policy's time zone. Holidays are not known."""
    # All offsets from UTC are whole quarters of an hour, so a quarter never straddles a local midnight.
    return _next_business_day_end(int(moment // QUARTER_HOUR_SECONDS), time_zone)


@functools.lru_cache(maxsize=64)
def _next_business_day_end(quarter: int, time_zone: str) -> float:
    local = datetime.fromtimestamp(quarter * QUARTER_HOUR_SECONDS, UTC).astimezone(ZoneInfo(time_zone))
    day = local.date() + timedelta(days=1)
    while day.isoweekday() > 5:
        day += timedelta(days=1)
    return datetime.combine(day, END_OF_BUSINESS, ZoneInfo(time_zone)).timestamp()


def _due_at(kind: TaskKind, opens_at: float, review: Review) -> float:
    if kind is TaskKind.BATCH:
        return next_business_day_end(opens_at, review.time_zone)
    seconds = {
        TaskKind.HOLD: review.hold_due,
        TaskKind.ESCALATION: review.escalation_due,
        TaskKind.ADJUDICATION: review.escalation_due,
        TaskKind.AUDIT: review.audit_due,
    }[kind]
    return opens_at + seconds
