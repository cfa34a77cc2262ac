"""`ReviewService`: the queue can be read; leases come with a later version."""

import grpc
from trueband.v1 import review_pb2, review_pb2_grpc

from sidecar import errors
from sidecar.ledger.store import Ledger
from sidecar.ledger.tasks import TaskState
from sidecar.policy import categories
from sidecar.policy.actions import TaskKind
from sidecar.servicers import requests, responses


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """Reads the review queue. What it does not define answers UNIMPLEMENTED."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def GetTask(
        self, request: review_pb2.GetTaskRequest, context: grpc.ServicerContext
    ) -> review_pb2.GetTaskResponse:
        """One task."""
        task = self._ledger.task(request.task_id)
        if task is None:
            raise errors.NotFound(f"the ledger has no task {request.task_id!r} (yet)")
        return review_pb2.GetTaskResponse(task=responses.task(task))

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
            tasks=[responses.task(task) for task in page.items],
            next_page_token=page.next_page_token,
            total=page.total or 0,
        )
