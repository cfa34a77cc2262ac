"""When a review task is due."""

import functools
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sidecar.ledger.records import PlannedTask
from sidecar.policy.actions import TaskKind
from sidecar.policy.model import Review

END_OF_BUSINESS = time(18, 0)
QUARTER_HOUR_SECONDS = 900


def plan(kinds: Sequence[TaskKind], decided_at: float, review: Review) -> tuple[PlannedTask, ...]:
    """The tasks that a decision opens, with their due times in seconds since the epoch."""
    return tuple(PlannedTask(kind=kind, due_at=_due_at(kind, decided_at, review)) for kind in kinds)


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


def _due_at(kind: TaskKind, decided_at: float, review: Review) -> float:
    if kind is TaskKind.BATCH:
        return next_business_day_end(decided_at, review.time_zone)
    seconds = {
        TaskKind.HOLD: review.hold_due,
        TaskKind.ESCALATION: review.escalation_due,
        TaskKind.ADJUDICATION: review.escalation_due,
        TaskKind.AUDIT: review.audit_due,
    }[kind]
    return decided_at + seconds
