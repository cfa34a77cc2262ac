"""The review queue's statements: one transaction in which tasks are taken, kept, given back and ended.

A task's row is locked before anything of it is read or changed, and its slots and outcomes change only under
that lock: so the rules can be plain Python on what was read. SQLite locks the whole ledger instead.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

import msgspec
import sqlalchemy as sa

from sidecar.decision.records import Decision, Label, PlannedTask
from sidecar.decision.tasks import BLOCKING_KINDS, CLOCK_STEP_SECONDS, Completion, Task, TaskState
from sidecar.ledger import database, intake, opening, outcomes, queries, queue, schema
from sidecar.ledger.outcomes import Outcome
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import TaskKind

EventAction = Literal[
    "LEASED", "EXTENDED", "COMPLETED", "COMPLETED_LATE", "DECLINED", "RELEASED", "DISAGREED", "EXPIRED"
]
PAGE = 50

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a reviewer may and wants to take. Empty: any.

    Attributes:
        reviewer: the principal's name.
        kinds: of tasks; `barred_kinds`: never these.
        skills: what the reviewer is trained for.
        mandatory: whether tasks that only a person can end are offered; `own`: also those on what the
            reviewer asked for, which need another person, and audits of it.
    """

    reviewer: str
    kinds: tuple[TaskKind, ...] = ()
    barred_kinds: tuple[TaskKind, ...] = ()
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    mandatory: bool = True
    own: bool = False


class LeaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what with a task."""

    task_id: str
    slot: int
    fence: int
    action: EventAction
    principal: str
    by_person: bool
    note: str = ""


class ReviewTransaction:
    """What can be done with the queue in one transaction; `now` is the database's time in it."""

    def __init__(self, connection: sa.Connection) -> None:
        self.now = database.now(connection)
        self._connection = connection

    # Finding and locking.

    def lock(self, task_id: str) -> Task | None:
        """The task of that id, locked until the transaction ends; None: there is none."""
        table = schema.review_tasks.c
        self._connection.execute(sa.select(table.task_id).where(table.task_id == task_id).with_for_update())
        return queue.task(self._connection, task_id)

    def offered(self, ask: Ask) -> Iterator[Task]:
        """The tasks that a reviewer may take, the most urgent first, locked; skips those locked by others."""
        yield from self._locked(_may_take(ask, self.now))

    def overdue(self) -> Iterator[Task]:
        """The tasks that end undecided now, since nobody has them and the policy's time is over; locked."""
        table = schema.review_tasks.c
        yield from self._locked([table.expires_at <= self.now, queue.is_open(self.now)])

    def answers(self, decision_id: str) -> tuple[Decision, ...]:
        """Every answer of a decision."""
        table = schema.answers.c
        rows = self._connection.execute(
            sa.select(table.body).where(table.decision_id == decision_id)
        ).scalars()
        return tuple(map(queries.decision_reader(self._connection), rows))

    def issued(self, task_id: str, fence: int) -> LeaseEvent | None:
        """The lease that a fence was given for, or None."""
        table = schema.review_events.c
        row = self._connection.execute(
            sa.select(schema.review_events).where(
                table.task_id == task_id, table.fence == fence, table.action == "LEASED"
            )
        ).one_or_none()
        if row is None:
            return None
        return msgspec.convert({str(name): value for name, value in row._mapping.items()}, LeaseEvent)

    # Changing. Each needs the task's lock.

    def lease(self, task: Task, slot: int, *, reviewer: str, until: float) -> int:
        """Gives a slot to a reviewer; the lease's fence."""
        fence = task.fence + 1
        self._change_task(task.task_id, fence=fence)
        self._change_slot(
            task.task_id, slot, reviewer=reviewer, fence=fence, leased_at=self.now, lease_until=until
        )
        return fence

    def extend(self, task: Task, slot: int, *, until: float) -> None:
        """Moves the end of a lease."""
        self._change_slot(task.task_id, slot, lease_until=until)

    def give_back(self, task: Task, slot: int) -> None:
        """Frees a slot."""
        self._change_slot(task.task_id, slot, reviewer=None, leased_at=None, lease_until=None)

    def complete(self, task: Task, slot: int, completion: Completion) -> None:
        """Keeps what a reviewer found."""
        body = msgspec.json.encode(completion).decode()
        self._change_slot(task.task_id, slot, completion=body, lease_until=None)

    def end(self, task: Task, state: TaskState) -> None:
        """Ends a task."""
        self._change_task(task.task_id, state=state.value, completed_at=self.now)

    def open_adjudication(self, task: Task, adjudication_id: str, planned: PlannedTask) -> None:
        """Opens the task that settles a disagreement on another one."""
        opening.open_tasks(self._connection, {adjudication_id: (task.decision, planned)})
        self._change_task(
            adjudication_id,
            origin_task_id=task.task_id,
            origin_kind=task.subject_kind.value,
            created_at=self.now,
        )

    def add_label(self, label: Label) -> None:
        """Keeps a label; if its event is known with another content, as evidence of that."""
        intake.take_labels(self._connection, [label])

    def has_label(self, source: str, event_id: str) -> bool:
        """Whether a label of that event is there."""
        table = schema.labels.c
        wanted = sa.select(table.event_id).where(table.source == source, table.event_id == event_id)
        return self._connection.execute(wanted).first() is not None

    def add_outcome(self, outcome: Outcome) -> None:
        """Writes how a decision ended."""
        outcomes.add(self._connection, outcome)

    def record(self, event: LeaseEvent) -> None:
        """Writes down who did what."""
        row = msgspec.structs.asdict(event) | {"happened_at": self.now}
        self._connection.execute(sa.insert(schema.review_events), [row])

    def _change_task(self, task_id: str, **values: object) -> None:
        table = schema.review_tasks
        self._connection.execute(sa.update(table).where(table.c.task_id == task_id).values(values))

    def _change_slot(self, task_id: str, slot: int, **values: object) -> None:
        table = schema.review_slots
        self._connection.execute(
            sa.update(table).where(table.c.task_id == task_id, table.c.slot == slot).values(values)
        )

    def _locked(self, wanted: Sequence[sa.ColumnElement[bool]]) -> Iterator[Task]:
        table = schema.review_tasks.c
        behind: list[sa.ColumnElement[bool]] = []
        while True:
            rows = self._connection.execute(
                sa.select(table.task_id, table.rank_at)
                .where(*wanted, *behind)
                .order_by(table.rank_at, table.task_id)
                .limit(PAGE)
                .with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                # Read again under the lock: what the query saw of the slots may be out of date.
                task = queue.task(self._connection, row.task_id)
                if task is not None:
                    yield task
            if len(rows) < PAGE:
                return
            behind = [queue.behind(rows[-1].rank_at, rows[-1].task_id)]


def review(ledger: Ledger, work: Callable[[ReviewTransaction], T]) -> T:
    """What the work on the review queue answers, done in one transaction; it may run more than once."""
    return ledger.write_locking(lambda at: work(ReviewTransaction(at)))


def _may_take(ask: Ask, now: float) -> list[sa.ColumnElement[bool]]:
    task, slot, event = schema.review_tasks.c, schema.review_slots.c, schema.review_events.c
    mine = sa.select(slot.slot).where(
        slot.task_id == task.task_id,
        slot.reviewer == ask.reviewer,
        sa.or_(
            slot.completion.is_not(None),
            sa.and_(slot.lease_until > now, slot.leased_at <= now + CLOCK_STEP_SECONDS),
        ),
    )
    declined = sa.select(event.event_number).where(
        event.task_id == task.task_id, event.principal == ask.reviewer, event.action == "DECLINED"
    )
    disagreed = sa.select(slot.slot).where(
        slot.task_id == task.origin_task_id, slot.reviewer == ask.reviewer, slot.completion.is_not(None)
    )
    wanted: list[sa.ColumnElement[bool]] = [
        queue.is_open(now),
        ~sa.exists(mine),
        ~sa.exists(declined),
        ~sa.exists(disagreed),
        task.skill.in_(["", *ask.skills]),
    ]
    blocking = [kind.value for kind in BLOCKING_KINDS]
    only_person = sa.and_(task.mandatory, sa.or_(task.kind.in_(blocking), task.origin_kind.in_(blocking)))
    if not ask.mandatory:
        wanted.append(~only_person)
    elif not ask.own:
        wanted.append(~sa.and_(only_person, task.principal == ask.reviewer))
    if not ask.own:
        wanted.append(~queue.audits(ask.reviewer))
    for column, values in (
        (task.kind, [kind.value for kind in ask.kinds]),
        (task.model, list(ask.models)),
        (task.category, list(ask.categories)),
    ):
        if values:
            wanted.append(column.in_(values))
    if ask.barred_kinds:
        wanted.append(task.kind.not_in([kind.value for kind in ask.barred_kinds]))
    return wanted


class ReviewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did with a task, and when, by the database's clock; `slot` is which of its reviews it was."""

    task_id: str
    slot: int
    action: EventAction
    principal: str
    by_person: bool
    happened_at: float
    note: str


def events_of_decision(connection: sa.Connection, decision_id: str) -> list[ReviewEvent]:
    """The events of all tasks of a decision, oldest first."""
    event, task = schema.review_events.c, schema.review_tasks.c
    rows = connection.execute(
        sa.select(*(event[name] for name in ReviewEvent.__struct_fields__))
        .join(schema.review_tasks, task.task_id == event.task_id)
        .where(task.decision_id == decision_id)
        .order_by(event.event_number)
    )
    return [
        msgspec.convert({str(name): value for name, value in row._mapping.items()}, ReviewEvent)
        for row in rows
    ]
