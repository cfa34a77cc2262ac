"""`RoutingService`."""

import grpc
from trueband.v1 import routing_pb2, routing_pb2_grpc

from calibrators.errors import TruebandError
from sidecar.query import Query
from sidecar.router import Router
from sidecar.servicers import requests, responses


class RoutingServicer(routing_pb2_grpc.RoutingServiceServicer):
    """Routes answers."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def Route(
        self, request: routing_pb2.RouteRequest, context: grpc.ServicerContext
    ) -> routing_pb2.RouteResponse:
        """One answer."""
        decision = responses.answer(self._router.route(requests.query(request)))
        return routing_pb2.RouteResponse(may_act=decision.may_act, decision=decision)

    def RouteBatch(
        self, request: routing_pb2.RouteBatchRequest, context: grpc.ServicerContext
    ) -> routing_pb2.RouteBatchResponse:
        """Many answers; each item succeeds or fails by itself."""
        requests.batch_size("items", len(request.items))
        outcomes = self._router.route_batch([_query(item) for item in request.items])
        return routing_pb2.RouteBatchResponse(items=[responses.batch_item(outcome) for outcome in outcomes])


def _query(message: routing_pb2.RouteRequest) -> Query | TruebandError:
    try:
        return requests.query(message)
    except TruebandError as error:
        return error
