"""The ports: the API with its servicers, the probe's health, the metrics; opened and closed in order."""

import contextlib
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trueband.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    decision_pb2,
    decision_pb2_grpc,
    label_pb2,
    label_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)

from sidecar import errors
from sidecar.ledger.store import Ledger
from sidecar.service.api import security
from sidecar.service.api.admin import AdminServicer
from sidecar.service.api.decisions import DecisionServicer
from sidecar.service.api.interceptor import CallInterceptor
from sidecar.service.api.labels import LabelServicer
from sidecar.service.api.lanes import Lanes
from sidecar.service.api.metrics_port import MetricsPort
from sidecar.service.api.outcome_watch import MOST_WATCHERS, OutcomeWatch
from sidecar.service.api.reflection import add_reflection
from sidecar.service.api.review import ReviewServicer
from sidecar.service.api.routing import RoutingServicer
from sidecar.service.control import Control
from sidecar.service.deciding.router import Router
from sidecar.service.principals import PrincipalsFile
from sidecar.service.review.housekeeping import ClosingWatch, ExpiryWatch
from sidecar.service.review.queue import ReviewQueue, classes_by_policy
from sidecar.service.settings import Settings

MAX_MESSAGE_BYTES = 16 << 20
"""Room for an oversized text to arrive and be named, rather than be cut off by the transport."""

PING_SECONDS = 5
"""How often a client may ping, with or without open calls; clients are promised half as often."""

SILENT_PEER_SECONDS = 60
"""A peer that has been silent for so long is pinged, and given up where it does not answer."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),  # whatever was decided must get out
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_SECONDS * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", SILENT_PEER_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", SILENT_PEER_SECONDS * 1000 // 3),
)
SERVICES = (
    routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name,
    label_pb2.DESCRIPTOR.services_by_name["LabelService"].full_name,
    review_pb2.DESCRIPTOR.services_by_name["ReviewService"].full_name,
    decision_pb2.DESCRIPTOR.services_by_name["DecisionService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
)


def open_ports(
    settings: Settings,
    control: Control,
    router: Router,
    ledger: Ledger,
    clock: Callable[[], float],
    stack: contextlib.ExitStack,
) -> None:
    """Opens every port that the settings name; the stack closes them, after open calls.

    Raises:
        errors.SettingsRefused: an address cannot be bound.
    """
    lanes = Lanes(calls=settings.threads, ledger=settings.ledger_threads, watches=MOST_WATCHERS)
    probe_lanes = Lanes(calls=1, ledger=1, watches=1)
    principals = None if settings.principals is None else PrincipalsFile(settings.principals)
    server = grpc.server(
        lanes.of("").pool,
        interceptors=[CallInterceptor(control.metrics, lanes, principals=principals)],
        options=OPTIONS,
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
    )

    def has_room() -> bool:
        return control.journal.has_room

    routing_pb2_grpc.add_RoutingServiceServicer_to_server(RoutingServicer(router, has_room=has_room), server)
    label_pb2_grpc.add_LabelServiceServicer_to_server(
        LabelServicer(
            router,
            ledger,
            label_window_seconds=control.in_force.label_window_seconds,
            tables=control.in_force.tables,
            sidecar_id=control.sidecar_id,
            clock=clock,
            has_room=has_room,
        ),
        server,
    )
    queue = ReviewQueue(
        ledger,
        review=control.in_force.review,
        classes=classes_by_policy(ledger),
        sidecar_id=control.sidecar_id,
    )
    outcomes, expiry = OutcomeWatch(ledger, queue.news), ExpiryWatch(queue)
    closing = ClosingWatch(
        ledger,
        grace_seconds=control.in_force.audit_grace_seconds,
    )
    for watch in (expiry, closing):
        watch.start()
        stack.callback(watch.stop)
    review_pb2_grpc.add_ReviewServiceServicer_to_server(ReviewServicer(ledger, queue, outcomes), server)
    decision_pb2_grpc.add_DecisionServiceServicer_to_server(DecisionServicer(ledger), server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(control, clock=clock), server)
    health_pb2_grpc.add_HealthServicer_to_server(control.health.servicer, server)
    if settings.reflection:
        add_reflection(SERVICES, server)
    security.claim_socket(settings.listen)
    _bind(server, settings.listen, "--listen")
    probe = grpc.server(
        probe_lanes.of("").pool,
        interceptors=[CallInterceptor(control.metrics, probe_lanes)],
        options=OPTIONS,
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
    )
    if settings.health_listen:
        health_pb2_grpc.add_HealthServicer_to_server(control.health.servicer, probe)
        _bind(probe, settings.health_listen, "--health-listen")
    for each in (lanes, probe_lanes):
        each.start()
        stack.callback(each.close)
    server.start()
    probe.start()
    security.restrict_socket(settings.listen)
    # In this order, so that probes are answered for as long as open calls are.
    stack.callback(lambda: probe.stop(0).wait())
    stack.callback(lambda: server.stop(settings.drain_seconds).wait())
    stack.callback(probe_lanes.end_streams)
    stack.callback(lanes.end_streams)
    stack.callback(control.health.servicer.stop)
    stack.callback(outcomes.stop)
    if settings.metrics_listen:
        _open_metrics(settings.metrics_listen, control, stack)


def _open_metrics(address: str, control: Control, stack: contextlib.ExitStack) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "0.0.0.0"  # noqa: S104 (as whoever leaves the host out asks for)
    try:
        metrics = MetricsPort(host, int(port), control.metrics.registry)
    except OSError as error:
        raise errors.SettingsRefused(f"--metrics-listen {address}: {error.strerror or error}") from error
    metrics.start()
    stack.callback(metrics.stop)


def _bind(server: grpc.Server, address: str, flag: str) -> None:
    try:
        with security.private_files():
            bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise errors.SettingsRefused(f"{flag} {address}: {security.why_not_bound(address)}")
