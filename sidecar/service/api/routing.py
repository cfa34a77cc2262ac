"""`RoutingService`."""

from collections.abc import Callable

import grpc
from trueband.v1 import routing_pb2, routing_pb2_grpc

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.decision.query import Query
from sidecar.service.api import permissions, requests, responses
from sidecar.service.deciding.answers import Answer
from sidecar.service.deciding.router import Router


class RoutingServicer(routing_pb2_grpc.RoutingServiceServicer):
    """Routes answers."""

    def __init__(self, router: Router, *, has_room: Callable[[], bool] = lambda: True) -> None:
        """Takes the router, and what says whether there is room for batches."""
        self._router = router
        self._has_room = has_room

    def Route(
        self, request: routing_pb2.RouteRequest, context: grpc.ServicerContext
    ) -> routing_pb2.RouteResponse:
        """One answer."""
        query = requests.query(request, principal=permissions.principal().name)
        answer = self._router.route(query, remaining_seconds=context.time_remaining())
        response = routing_pb2.RouteResponse(may_act=answer.decision.may_act)
        responses.write_answer(response.decision, answer)
        return response

    def RouteBatch(
        self, request: routing_pb2.RouteBatchRequest, context: grpc.ServicerContext
    ) -> routing_pb2.RouteBatchResponse:
        """Many answers; each item succeeds or fails by itself."""
        requests.batch_size("items", len(request.items))
        if not self._has_room():
            raise errors.JournalFilling
        principal = permissions.principal().name
        queries = [_query(item, principal) for item in request.items]
        outcomes = self._router.route_batch(queries, remaining_seconds=context.time_remaining())
        response = routing_pb2.RouteBatchResponse()
        for outcome in outcomes:
            item = response.items.add()
            if isinstance(outcome, Answer):
                responses.write_answer(item.decision, outcome)
            else:
                responses.write_error(item.error, outcome)
        return response


def _query(message: routing_pb2.RouteRequest, principal: str) -> Query | TruebandError:
    try:
        return requests.query(message, principal=principal)
    except TruebandError as error:
        return error
