"""Review tasks: what a person must look at."""

import hashlib
from enum import StrEnum

import msgspec

from sidecar.ledger.records import Decision
from sidecar.policy.actions import TaskKind


class TaskState(StrEnum):
    """Where a task stands."""

    OPEN = "OPEN"
    LEASED = "LEASED"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


WAITING = (TaskState.OPEN, TaskState.LEASED)
BLOCKING_KINDS = frozenset({TaskKind.HOLD, TaskKind.ESCALATION})
"""The kinds in which a decision waits for a person."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, with the decision that opened it."""

    task_id: str
    kind: TaskKind
    state: TaskState
    decision_id: str
    answer_id: str
    tenant: str
    model: str
    category: str
    mandatory: bool
    due_at: float
    created_at: float
    completed_at: float | None = None
    decision: Decision


def task_id(decision_id: str, kind: TaskKind) -> str:
    """The id of a decision's task of a kind: the same wherever and however often it is opened."""
    return hashlib.blake2b(f"{decision_id}\0{kind.value}".encode(), digest_size=16).hexdigest()
