"""`RoutingService`."""

from collections.abc import Callable, Sequence

import grpc
from trueband.v1 import routing_pb2, routing_pb2_grpc

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.decision.query import Query
from sidecar.ledger import pages
from sidecar.policy import categories
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
        """Many answers; each item succeeds or fails by itself.

        Where the caller could not receive all answers at once, none is made.
        """
        requests.batch_size("items", len(request.items))
        if not self._has_room():
            raise errors.JournalFilling
        principal = permissions.principal().name
        queries = [_query(item, principal) for item in request.items]
        self._check_size(queries)
        outcomes = self._router.route_batch(queries, remaining_seconds=context.time_remaining())
        response = routing_pb2.RouteBatchResponse()
        for outcome in outcomes:
            item = response.items.add()
            if isinstance(outcome, Answer):
                responses.write_answer(item.decision, outcome)
            else:
                responses.write_error(item.error, outcome)
        return response

    def _check_size(self, queries: Sequence[Query | TruebandError]) -> None:
        by_model: dict[str, int] = {}

        def size_of(query: Query | TruebandError) -> int:
            if isinstance(query, TruebandError):
                error = routing_pb2.ItemError()
                responses.write_error(error, query)
                return responses.size_of(error) + 5
            if query.model not in by_model:
                by_model[query.model] = self._router.most_bytes(query.model)
            return by_model[query.model] + _text_bytes(query)

        fitting = len(pages.within(queries, size_of))
        if fitting < len(queries):
            raise errors.InvalidRequest(
                (
                    errors.Violation(
                        "items",
                        f"the answers to {len(queries):,} items may be larger than a client takes at once; "
                        f"the first {fitting:,} fit: nothing was decided, send fewer",
                    ),
                )
            )


def _text_bytes(query: Query) -> int:
    """How many bytes of the request come back in its answer, or in the answer of a chain that keeps the class."""
    texts = (
        query.tenant,
        query.model,
        query.model_version,
        query.category,
        query.subject_ref,
        query.predicted_class,
        query.predicted_class,
    )
    joined = "".join(texts)
    if joined.isascii():
        return len(joined)
    # A character in normal form can be several.
    return len(joined.encode(errors="replace")) + len(categories.normalise(query.category).encode())


def _query(message: routing_pb2.RouteRequest, principal: str) -> Query | TruebandError:
    try:
        return requests.query(message, principal=principal)
    except TruebandError as error:
        return error
