"""Review tasks: what a person must look at, who has it, and what was found."""

import hashlib
from enum import StrEnum
from typing import Literal

import msgspec

from sidecar.decision.records import Decision
from sidecar.policy.actions import TaskKind

CLOCK_STEP_SECONDS = 60.0
"""How far a clock may be set back and still prolong a lease by that; a larger step ends it."""

HEAD_START_SECONDS = 86400.0
"""How far a mandatory task is put before others with its due time."""

Correctness = Literal["CORRECT", "INCORRECT", "CANNOT_TELL"]
Disposition = Literal["RELEASE", "RELEASE_CORRECTED", "REFUSE"]


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

COMPLETED_KINDS = BLOCKING_KINDS | {TaskKind.ADJUDICATION}
"""The kinds that end by a completion under a lease only, and never by a label."""


class Completion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one reviewer found, and permitted.

    Attributes:
        reviewer: the principal's name; `by_person`: whether that is a person.
        verdict: the truth; None in a blind task, where `true_class` alone says it.
        true_class: the right class, where it was named.
        correct: whether the answer was correct; None where that cannot be said.
        disposition: the permission; None where the kind of task gives none.
        completed_at: by the database's clock.
    """

    reviewer: str
    by_person: bool
    verdict: Correctness | None
    true_class: str = ""
    true_category: str | None = None
    correct: bool | None = None
    disposition: Disposition | None = None
    explanation: str = ""
    completed_at: float


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One of the reviews that a task asks for: free, leased, or done."""

    slot: int
    reviewer: str | None = None
    fence: int = 0
    leased_at: float | None = None
    lease_until: float | None = None
    completion: Completion | None = None

    def is_free(self, now: float) -> bool:
        """Whether anybody may take it: nobody has it, or whoever had it let the lease end.

        A lease that began in the future is one from before the clock was set back: it ends too.
        """
        if self.completion is not None:
            return False
        if self.reviewer is None or self.lease_until is None or self.lease_until <= now:
            return True
        return self.leased_at is not None and self.leased_at > now + CLOCK_STEP_SECONDS

    def is_leased(self, now: float) -> bool:
        """Whether somebody is at it."""
        return self.completion is None and not self.is_free(now)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, with the decision that opened it.

    Attributes:
        state: as of the moment at which it was read: a lease ends by itself.
        principal: who routed the answer.
        origin_task_id, origin_kind: of an adjudication, the task on which reviewers disagreed.
        fence: of the latest lease; 0 before the first.
        slots: one for each review that it asks for.
    """

    task_id: str
    kind: TaskKind
    state: TaskState
    decision_id: str
    answer_id: str
    tenant: str
    model: str
    category: str
    principal: str = ""
    skill: str = ""
    criterion: str = "correct"
    origin_task_id: str = ""
    origin_kind: TaskKind | None = None
    mandatory: bool
    blind: bool = False
    rank_at: float
    due_at: float
    created_at: float
    expires_at: float | None = None
    completed_at: float | None = None
    fence: int = 0
    decision: Decision
    slots: tuple[Slot, ...] = ()

    @property
    def subject_kind(self) -> TaskKind:
        """The kind whose rules hold: an adjudication's are those of the task that it settles."""
        return self.origin_kind or self.kind


def task_id(origin_id: str, kind: TaskKind) -> str:
    """The id of a task on a decision, or of an adjudication on a task; the same whenever it is opened."""
    return hashlib.blake2b(f"{origin_id}\0{kind.value}".encode(), digest_size=16).hexdigest()


def needs_completion(decision_id: str, named: str) -> bool:
    """Whether the task of that name, if it is one on this decision, ends by a completion only."""
    own = {task_id(decision_id, kind) for kind in COMPLETED_KINDS}
    settling = {task_id(task_id(decision_id, kind), TaskKind.ADJUDICATION) for kind in TaskKind}
    return named in own or named in settling


def rank_at(mandatory: bool, due_at: float) -> float:
    """Where a task stands in the queue: the smaller, the sooner.

    Mandatory tasks come first, then what is due first. The head start is a length of time rather than a class
    of its own, so that no stream of mandatory tasks can starve the others: what becomes due later than a day
    after a task was due stands behind it, whatever it is. And since the rank of a task never changes, time
    alone brings every task to the front.
    """
    return due_at - HEAD_START_SECONDS if mandatory else due_at
