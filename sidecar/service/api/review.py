"""`ReviewService`: its messages to our own types, every bad field named, and back."""

from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import duration_pb2
from trueband.v1 import review_pb2, review_pb2_grpc

from sidecar import errors
from sidecar.decision.tasks import Correctness, Disposition, Task, TaskState
from sidecar.errors import InvalidRequest, Violation
from sidecar.ledger import queue as ledger_queue
from sidecar.ledger.store import Ledger
from sidecar.policy import categories
from sidecar.policy.actions import TaskKind
from sidecar.service.api import field_checks, permissions, requests, responses, review_responses
from sidecar.service.api.outcome_watch import OutcomeWatch
from sidecar.service.review import screen
from sidecar.service.review.completion import ReviewFinding
from sidecar.service.review.lease import DEFAULT_LEASE_SECONDS, Held, Wanted
from sidecar.service.review.queue import ReviewQueue

VERDICTS: dict[int, Correctness | None] = {
    review_pb2.VERDICT_UNSPECIFIED: None,
    review_pb2.VERDICT_CORRECT: "CORRECT",
    review_pb2.VERDICT_INCORRECT: "INCORRECT",
    review_pb2.VERDICT_CANNOT_TELL: "CANNOT_TELL",
}
DISPOSITIONS: dict[int, Disposition | None] = {
    review_pb2.DISPOSITION_UNSPECIFIED: None,
    review_pb2.DISPOSITION_RELEASE: "RELEASE",
    review_pb2.DISPOSITION_RELEASE_CORRECTED: "RELEASE_CORRECTED",
    review_pb2.DISPOSITION_REFUSE: "REFUSE",
}
MOST_FILTERS = 100
LEASED_BYTES = 2048
"""What is told beside a leased task at most: who has it until when, and its candidates."""


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """The review queue, and what became of the decisions in it."""

    def __init__(self, ledger: Ledger, queue: ReviewQueue, outcomes: OutcomeWatch) -> None:
        self._ledger = ledger
        self._queue = queue
        self._outcomes = outcomes

    def LeaseTasks(
        self, request: review_pb2.LeaseTasksRequest, context: grpc.ServicerContext
    ) -> review_pb2.LeaseTasksResponse:
        """Takes tasks for the calling reviewer."""
        held = self._queue.lease(permissions.principal(), _wanted(request), self._size_of)
        return review_pb2.LeaseTasksResponse(tasks=[self._held(each) for each in held])

    def ExtendLease(
        self, request: review_pb2.ExtendLeaseRequest, context: grpc.ServicerContext
    ) -> review_pb2.ExtendLeaseResponse:
        """Keeps a lease longer."""
        held = self._queue.extend(
            permissions.principal(), request.task_id, request.fence, _lease_seconds(request)
        )
        return review_pb2.ExtendLeaseResponse(lease=review_responses.lease(held.slot))

    def CompleteTask(
        self, request: review_pb2.CompleteTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.CompleteTaskResponse:
        """Ends a task with a verdict and a disposition."""
        completed = self._queue.complete(
            permissions.principal(), request.task_id, request.fence, _finding(request)
        )
        return review_pb2.CompleteTaskResponse(task=self._task(completed.task), stale=completed.stale)

    def DeclineTask(
        self, request: review_pb2.DeclineTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.DeclineTaskResponse:
        """Gives a task back for good."""
        task = self._queue.decline(
            permissions.principal(), request.task_id, request.fence, _explanation(request)
        )
        return review_pb2.DeclineTaskResponse(task=self._task(task))

    def ReleaseTask(
        self, request: review_pb2.ReleaseTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.ReleaseTaskResponse:
        """Gives a task back for anybody."""
        task = self._queue.release(permissions.principal(), request.task_id, request.fence)
        return review_pb2.ReleaseTaskResponse(task=self._task(task))

    def GetTask(
        self, request: review_pb2.GetTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.GetTaskResponse:
        """One task."""
        task = self._ledger.read(ledger_queue.task, request.task_id)
        router = permissions.name_as_router()
        if task is None or (router == task.principal and task.subject_kind is TaskKind.AUDIT):
            raise errors.NotFound(f"the ledger has no task {request.task_id!r} (yet)")
        return review_pb2.GetTaskResponse(task=self._task(task))

    def ListTasks(
        self, request: review_pb2.ListTasksRequest, context: grpc.ServicerContext
    ) -> review_pb2.ListTasksResponse:
        """Tasks in the order in which they should be done."""
        page = self._ledger.read(
            ledger_queue.tasks,
            kinds=[TaskKind(name) for name in requests.names("kinds", request.kinds, review_pb2.TaskKind)],
            states=[
                TaskState(name) for name in requests.names("states", request.states, review_pb2.TaskState)
            ],
            model=request.model,
            category=categories.normalise(request.category),
            decision_id=request.decision_id,
            without_audits_of=permissions.name_as_router(),
            page_size=requests.page_size(request.page_size),
            page_token=request.page_token,
        )
        tasks = responses.fitting(self._task(task) for task in page.items)
        return review_pb2.ListTasksResponse(
            tasks=tasks,
            next_page_token=page.token_behind(len(tasks)),
            total=page.total or 0,
        )

    def GetOutcome(
        self, request: review_pb2.GetOutcomeRequest, context: grpc.ServicerContext
    ) -> review_pb2.GetOutcomeResponse:
        """How a held decision ended, so far."""
        outcome = self._outcomes.outcome(permissions.principal(), request.decision_id)
        return review_pb2.GetOutcomeResponse(outcome=outcome)

    def WatchDecision(
        self, request: review_pb2.WatchDecisionRequest, context: grpc.ServicerContext
    ) -> Iterator[review_pb2.WatchDecisionResponse]:
        """Streams the outcomes of one decision until it is final."""

        def is_wanted() -> bool:
            permissions.renew()
            return context.is_active()

        for outcome in self._outcomes.watch(permissions.principal(), request.decision_id, is_wanted):
            yield review_pb2.WatchDecisionResponse(outcome=outcome)

    def ListOutcomes(
        self, request: review_pb2.ListOutcomesRequest, context: grpc.ServicerContext
    ) -> review_pb2.ListOutcomesResponse:
        """A feed of outcomes."""
        outcomes, cursor = self._outcomes.feed(
            permissions.principal(),
            tenant=request.tenant,
            cursor=request.cursor,
            page_size=requests.page_size(request.page_size),
        )
        return review_pb2.ListOutcomesResponse(outcomes=outcomes, next_cursor=cursor)

    def _task(self, task: Task) -> review_pb2.Task:
        return review_responses.task(task, self._queue.shown(task))

    def _size_of(self, task: Task) -> int:
        """How many bytes a task takes at most once it is leased.

        The names of its candidates are in the ledger, which is not asked in the middle of a transaction.
        """
        return responses.size_of(review_responses.task(task, screen.shown(task))) + LEASED_BYTES

    def _held(self, held: Held) -> review_pb2.Task:
        return review_responses.task(held.task, self._queue.shown(held.task), held.slot)


def _wanted(message: review_pb2.LeaseTasksRequest) -> Wanted:
    """Which tasks a message asks for.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad = [
        Violation(name, f"has {len(getattr(message, name))} entries; at most {MOST_FILTERS}")
        for name in ("kinds", "models", "categories", "skills")
        if len(getattr(message, name)) > MOST_FILTERS
    ]
    for name in ("models", "categories", "skills"):
        for value in getattr(message, name)[:MOST_FILTERS]:
            field_checks.bounded(name, value, bad)
    if bad:
        raise InvalidRequest(tuple(bad))
    return Wanted(
        kinds=tuple(TaskKind(name) for name in requests.names("kinds", message.kinds, review_pb2.TaskKind)),
        models=tuple(message.models),
        categories=tuple(categories.normalise(name) for name in message.categories),
        skills=tuple(message.skills),
        count=message.count or 1,
        lease_seconds=_lease_seconds(message),
    )


def _lease_seconds(message: Any) -> float:
    """The length of a lease that a message asks for, in seconds; the default where it says nothing."""
    if not message.HasField("lease_duration"):
        return DEFAULT_LEASE_SECONDS
    length: duration_pb2.Duration = message.lease_duration
    return length.seconds + length.nanos / 1e9


def _finding(message: review_pb2.CompleteTaskRequest) -> ReviewFinding:
    """What a reviewer found.

    Raises:
        InvalidRequest: naming every bad field.
    """
    bad: list[Violation] = []
    for name in ("true_class", "true_category"):
        field_checks.bounded(name, getattr(message, name), bad)
    field_checks.bounded("explanation", message.explanation, bad, most=field_checks.MAX_NOTE)
    if message.verdict not in VERDICTS:
        bad.append(Violation("verdict", f"{message.verdict} is no Verdict of this version"))
    if message.disposition not in DISPOSITIONS:
        bad.append(Violation("disposition", f"{message.disposition} is no Disposition of this version"))
    if bad:
        raise InvalidRequest(tuple(bad))
    return ReviewFinding(
        verdict=VERDICTS[message.verdict],
        true_class=message.true_class,
        disposition=DISPOSITIONS[message.disposition],
        explanation=message.explanation,
        true_category=message.true_category if message.HasField("true_category") else None,
    )


def _explanation(message: review_pb2.DeclineTaskRequest) -> str:
    """Why a task is declined.

    Raises:
        InvalidRequest: it is too long.
    """
    bad: list[Violation] = []
    field_checks.bounded("explanation", message.explanation, bad, most=field_checks.MAX_NOTE)
    if bad:
        raise InvalidRequest(tuple(bad))
    return message.explanation
