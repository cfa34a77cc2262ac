"""`ReviewService`."""

from collections.abc import Iterator

import grpc
from trueband.v1 import review_pb2, review_pb2_grpc

from sidecar import errors
from sidecar.decision.tasks import Task, TaskState
from sidecar.ledger.store import Ledger
from sidecar.policy import categories
from sidecar.policy.actions import TaskKind
from sidecar.service.api import permissions, requests, review_requests, review_responses
from sidecar.service.api.outcome_watch import OutcomeWatch
from sidecar.service.review.leasing import Held
from sidecar.service.review.queue import ReviewQueue


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
        held = self._queue.lease(permissions.principal(), review_requests.wanted(request))
        return review_pb2.LeaseTasksResponse(tasks=[self._held(each) for each in held])

    def ExtendLease(
        self, request: review_pb2.ExtendLeaseRequest, context: grpc.ServicerContext
    ) -> review_pb2.ExtendLeaseResponse:
        """Keeps a lease longer."""
        held = self._queue.extend(
            permissions.principal(), request.task_id, request.fence, review_requests.lease_seconds(request)
        )
        return review_pb2.ExtendLeaseResponse(lease=review_responses.lease(held.slot))

    def CompleteTask(
        self, request: review_pb2.CompleteTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.CompleteTaskResponse:
        """Ends a task with a verdict and a disposition."""
        completed = self._queue.complete(
            permissions.principal(), request.task_id, request.fence, review_requests.finding(request)
        )
        return review_pb2.CompleteTaskResponse(task=self._task(completed.task), stale=completed.stale)

    def DeclineTask(
        self, request: review_pb2.DeclineTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.DeclineTaskResponse:
        """Gives a task back for good."""
        explanation = review_requests.explanation(request)
        task = self._queue.decline(permissions.principal(), request.task_id, request.fence, explanation)
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
        task = self._ledger.task(request.task_id)
        if task is None:
            raise errors.NotFound(f"the ledger has no task {request.task_id!r} (yet)")
        return review_pb2.GetTaskResponse(task=self._task(task))

    def ListTasks(
        self, request: review_pb2.ListTasksRequest, context: grpc.ServicerContext
    ) -> review_pb2.ListTasksResponse:
        """Tasks in the order in which they should be done."""
        page = self._ledger.tasks(
            kinds=[TaskKind(name) for name in requests.names("kinds", request.kinds, review_pb2.TaskKind)],
            states=[
                TaskState(name) for name in requests.names("states", request.states, review_pb2.TaskState)
            ],
            model=request.model,
            category=categories.normalise(request.category),
            decision_id=request.decision_id,
            page_size=requests.page_size(request.page_size),
            page_token=request.page_token,
        )
        return review_pb2.ListTasksResponse(
            tasks=[self._task(task) for task in page.items],
            next_page_token=page.next_page_token,
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
        for outcome in self._outcomes.watch(permissions.principal(), request.decision_id, context.is_active):
            yield review_pb2.WatchDecisionResponse(outcome=outcome)

    def ListOutcomes(
        self, request: review_pb2.ListOutcomesRequest, context: grpc.ServicerContext
    ) -> review_pb2.ListOutcomesResponse:
        """A feed of outcomes."""
        found, cursor = self._outcomes.feed(
            permissions.principal(),
            tenant=request.tenant,
            cursor=request.cursor,
            page_size=requests.page_size(request.page_size),
        )
        return review_pb2.ListOutcomesResponse(outcomes=found, next_cursor=cursor)

    def _task(self, task: Task) -> review_pb2.Task:
        return review_responses.task(task, self._queue.shown(task))

    def _held(self, held: Held) -> review_pb2.Task:
        return review_responses.task(held.task, self._queue.shown(held.task), held.slot)
