"""A review queue over every database, whose clock stands still until it is moved."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sidecar.decision.records import Decision
from sidecar.decision.tasks import Task
from sidecar.ledger import intake
from sidecar.ledger import outcomes as ledger_outcomes
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, TaskKind
from sidecar.policy.upkeep import Review
from sidecar.service.principals import Principal, Role
from sidecar.service.review.completion import ReviewFinding
from sidecar.service.review.lease import Held, Wanted
from sidecar.service.review.queue import ReviewQueue, classes_by_policy
from tests import builders

NOON = 1_770_000_000.0


def person(name: str, *roles: str) -> Principal:
    return Principal(
        name=name, is_person=True, roles=frozenset(Role(role) for role in roles or ("reviewer",))
    )


def service(name: str, *roles: str) -> Principal:
    return Principal(
        name=name, is_person=False, roles=frozenset(Role(role) for role in roles or ("reviewer",))
    )


def decision(number: int, kinds: tuple[TaskKind, ...] = (TaskKind.HOLD,), **changes: object) -> Decision:
    planned: dict[str, Any] = {"due_at": NOON + 100.0}
    planned |= {
        name: changes.pop(name)
        for name in ("due_at", "blind", "overlap", "skill", "criterion")
        if name in changes
    }
    planned["expires_at"] = changes.pop("task_expires_at", None)
    held = bool({TaskKind.HOLD, TaskKind.ESCALATION} & set(kinds))
    fields: dict[str, Any] = {
        "model": "leads",
        "model_version": "",
        "principal": "crm",
        "action": Action.HOLD_FOR_REVIEW if held else Action.AUTO_ROUTE_FLAGGED,
        "band": "hold",
        "calibrated_confidence": 0.61,
        "policy_digest": "sha256:" + "0" * 64,
        "sidecar_id": "a",
        "audit_rate": 0.0,
        "tasks": builders.planned(*kinds, **planned),
    }
    return builders.decision(number, at=NOON, score=0.6, **fields | changes)


class Desk:
    """A queue, the ledger below it, and the database's clock."""

    def __init__(self, url: str) -> None:
        self.now = NOON
        self.policy = Review()
        self.size_of: Callable[[Task], int] = lambda _: 0
        self.url = url
        self.ledger = Ledger(url, clock=lambda _: self.now)
        self.ledger.migrate()
        self.queue = self._queue()
        self._numbers = itertools.count(1)

    def _queue(self) -> ReviewQueue:
        return ReviewQueue(
            self.ledger,
            review=lambda: self.policy,
            classes=classes_by_policy(self.ledger),
            sidecar_id="a",
        )

    def crash(self) -> None:
        """What a process loses when it dies: everything but the database."""
        self.ledger.close()
        self.ledger = Ledger(self.url, clock=lambda _: self.now)
        self.queue = self._queue()

    def open(self, *kinds: TaskKind, **changes: object) -> str:
        """Opens the tasks of a new decision, by default a hold; the decision's id."""
        made = decision(next(self._numbers), kinds or (TaskKind.HOLD,), **changes)
        self.ledger.write(intake.take_in, [made])
        return made.decision_id

    def lease(self, who: Principal, **wanted: object) -> list[Held]:
        return self.queue.lease(who, Wanted(**wanted), self.size_of)  # type: ignore[arg-type]

    def lease_one(self, who: Principal, **wanted: object) -> Held:
        (held,) = self.lease(who, **wanted)
        return held

    def complete(
        self, who: Principal, held: Held, verdict: str | None = "CORRECT", **changes: object
    ) -> bool:
        """Completes a lease, a hold by release where it is correct; whether it was stale."""
        if held.task.subject_kind in (TaskKind.HOLD, TaskKind.ESCALATION):
            changes = {"disposition": "RELEASE" if verdict == "CORRECT" else "REFUSE"} | changes
        finding = ReviewFinding(verdict=verdict, **changes)  # type: ignore[arg-type]
        return self.queue.complete(who, held.task.task_id, held.slot.fence, finding).stale

    def outcomes(self, decision_id: str) -> list[tuple[str, str]]:
        progress = self.ledger.read(ledger_outcomes.progress, decision_id)
        assert progress is not None
        return [(each.kind, each.final_class) for each in progress.outcomes]

    def events(self, task_id: str) -> list[tuple[str, str]]:
        """Who did what with a task, in order."""
        with self.ledger._engine.begin() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT action, principal FROM review_events WHERE task_id = :id ORDER BY event_number"
                ),
                {"id": task_id},
            )
            return [(row[0], row[1]) for row in rows]


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.ledger.close()


@pytest.fixture(scope="session")
def make_desk() -> Callable[[str], Desk]:
    """Makes a desk over a database of one's own."""
    return Desk


@pytest.fixture(scope="session")
def make_person() -> Callable[..., Principal]:
    """Makes a person with roles, by default a reviewer."""
    return person


@pytest.fixture(scope="session")
def make_service() -> Callable[..., Principal]:
    """Makes a service with roles, by default a reviewer."""
    return service


@pytest.fixture(scope="session")
def make_decision() -> Callable[..., Decision]:
    """Makes a decision that opens tasks of some kinds; keywords change it, or what is planned."""
    return decision
