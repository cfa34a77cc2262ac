"""Leases: who gets which task, for how long, and how it goes back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from sidecar import errors
from sidecar.decision.tasks import Slot, Task
from sidecar.ledger import pages
from sidecar.ledger.leases import Ask, EventAction, LeaseEvent, ReviewTransaction
from sidecar.policy.actions import TaskKind
from sidecar.service.principals import Principal, Role

DEFAULT_LEASE_SECONDS = 600.0
LONGEST_HOLD_SECONDS = 3600.0
"""However often a lease is extended, it ends an hour after it began: nobody holds a task for ever."""

MOST_TASKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks a reviewer wants. Empty: any."""

    kinds: tuple[TaskKind, ...] = ()
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    count: int = 1
    lease_seconds: float = DEFAULT_LEASE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A task with the reviewer's own slot of it."""

    task: Task
    slot: Slot


def lease(
    transaction: ReviewTransaction, principal: Principal, wanted: Wanted, size_of: Callable[[Task], int]
) -> list[Held]:
    """Takes the most urgent tasks that the principal may and wants to take, each with a lease of its own.

    Args:
        transaction: on the queue.
        principal: who takes them.
        wanted: which, and how many at most. Fewer are taken where they could not be handed over in one answer.
        size_of: how many bytes a task takes in that answer.

    Raises:
        errors.InvalidRequest: the count or the length is out of range.
        errors.NotPermitted: only escalations are wanted, which need the role lead.
    """
    seconds = _lease_seconds(wanted.lease_seconds)
    if not 1 <= wanted.count <= MOST_TASKS:
        raise _invalid("count", f"must be between 1 and {MOST_TASKS}, and is {wanted.count}")
    held: list[Held] = []
    total = 0
    for task in transaction.offered(_ask(principal, wanted)):
        slot = _slot_for(task, principal.name, transaction.now)
        if slot is None:
            continue
        total += size_of(task)
        if held and total > pages.MOST_BYTES:
            break
        held.append(_lease(transaction, task, slot, principal, seconds))
        if len(held) == wanted.count:
            break
    return held


def extend(
    transaction: ReviewTransaction, principal: Principal, task_id: str, fence: int, lease_seconds: float
) -> Held:
    """Lets a lease that has not ended yet end so much after now, and at most an hour after it began.

    Raises:
        errors.NotFound: there is no such task.
        errors.LeaseLost: the lease ended, or is not the principal's.
        errors.InvalidRequest: the length is out of range.
    """
    seconds = _lease_seconds(lease_seconds)
    task, slot = own_slot(transaction, task_id, fence, principal)
    if slot.is_free(transaction.now):
        raise errors.LeaseLost("the lease has ended; lease the task again, if nobody else has it")
    began = transaction.now if slot.leased_at is None else slot.leased_at
    until = min(transaction.now + seconds, began + LONGEST_HOLD_SECONDS)
    transaction.extend(task, slot.slot, until=until)
    record(transaction, task, slot, "EXTENDED", principal)
    return _held(transaction, task_id, slot.slot)


def give_back(
    transaction: ReviewTransaction,
    principal: Principal,
    task_id: str,
    fence: int,
    action: Literal["DECLINED", "RELEASED"],
    explanation: str,
) -> Task:
    """Gives a task back: DECLINED, so that the principal is not offered it again, or RELEASED for anybody.

    A lease may be given back after its end, as long as nobody else has it.

    Raises:
        errors.NotFound: there is no such task.
        errors.LeaseLost: the lease is not, or no longer, the principal's.
    """
    task, slot = own_slot(transaction, task_id, fence, principal)
    transaction.give_back(task, slot.slot)
    record(transaction, task, slot, action, principal, note=explanation)
    return locked(transaction, task_id)


def _ask(principal: Principal, wanted: Wanted) -> Ask:
    """What a principal is offered. Escalations are for leads; what only a person can end, for persons.

    Where nobody is told apart, everything is shown; what needs a person is then refused at its end, and the
    error says what is missing.
    """
    barred = () if Role.LEAD in principal.roles else (TaskKind.ESCALATION,)
    if wanted.kinds and set(wanted.kinds) <= set(barred):
        raise errors.NotPermitted(f"{principal.name} may not take escalations: they need the role lead")
    return Ask(
        reviewer=principal.name,
        kinds=wanted.kinds,
        barred_kinds=barred,
        models=wanted.models,
        categories=wanted.categories,
        skills=wanted.skills,
        mandatory=principal.is_person or principal.is_anonymous,
        own=principal.is_anonymous,
    )


def _slot_for(task: Task, reviewer: str, now: float) -> Slot | None:
    """The slot that a reviewer gets: the one that was theirs, so that nobody has two; else a free one."""
    own = next((slot for slot in task.slots if slot.reviewer == reviewer), None)
    if own is not None:
        return own if own.is_free(now) else None
    return next((slot for slot in task.slots if slot.is_free(now)), None)


def _lease(
    transaction: ReviewTransaction, task: Task, slot: Slot, principal: Principal, seconds: float
) -> Held:
    until = transaction.now + seconds
    fence = transaction.lease(task, slot.slot, reviewer=principal.name, until=until)
    leased = msgspec.structs.replace(
        slot, reviewer=principal.name, fence=fence, leased_at=transaction.now, lease_until=until
    )
    record(transaction, task, leased, "LEASED", principal)
    return _held(transaction, task.task_id, slot.slot)


def own_slot(
    transaction: ReviewTransaction, task_id: str, fence: int, principal: Principal
) -> tuple[Task, Slot]:
    """The locked task, and the slot that the principal's lease with this fence still has, ended or not.

    Raises:
        errors.NotFound: there is no such task.
        errors.LeaseLost: the lease is not, or no longer, the principal's.
    """
    task = locked(transaction, task_id)
    for slot in task.slots:
        if slot.fence == fence and slot.reviewer == principal.name and slot.completion is None:
            return task, slot
    raise errors.LeaseLost


def locked(transaction: ReviewTransaction, task_id: str) -> Task:
    """The task of that id, locked.

    Raises:
        errors.NotFound: there is none.
    """
    task = transaction.lock(task_id)
    if task is None:
        raise errors.NotFound(f"the ledger has no task {task_id!r} (yet)")
    return task


def _held(transaction: ReviewTransaction, task_id: str, slot: int) -> Held:
    task = locked(transaction, task_id)
    return Held(task=task, slot=task.slots[slot])


def record(
    transaction: ReviewTransaction,
    task: Task,
    slot: Slot,
    action: EventAction,
    principal: Principal,
    *,
    note: str = "",
) -> None:
    """Writes down what a principal did with a slot."""
    transaction.record(
        LeaseEvent(
            task_id=task.task_id,
            slot=slot.slot,
            fence=slot.fence,
            action=action,
            principal=principal.name,
            by_person=principal.is_person,
            note=note,
        )
    )


def _lease_seconds(asked: float) -> float:
    if not 1.0 <= asked <= LONGEST_HOLD_SECONDS:
        raise _invalid(
            "lease_duration", f"must be between 1 s and {LONGEST_HOLD_SECONDS:g} s, and is {asked:g} s"
        )
    return asked


def _invalid(field: str, description: str) -> errors.InvalidRequest:
    return errors.InvalidRequest((errors.Violation(field, description),))
