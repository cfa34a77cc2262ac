"""The running service, seen from outside: readiness, listening, stopping."""

import os
import signal
import socket
import stat
import threading
import urllib.request

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from trueband.v1 import admin_pb2, decision_pb2, routing_pb2, routing_pb2_grpc

from sidecar.ledger import queries
from tests.sidecar import stores

TWO_MODELS = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
  scores:
    calibrator: models:/scores-calibrator@champion
    evidence: score
"""
LATE = """
  late:
    calibrator: file:{home}/late.json
    evidence: score
"""
PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "600", "TRUEBAND_DRAIN_SECONDS": "600"}


def test_health_waits_for_the_first_attempt_at_every_calibrator(make_sidecar, hanging_registry) -> None:
    sidecar = make_sidecar(TWO_MODELS)
    sidecar.write_calibrator()
    sidecar.start(serving=False, MLFLOW_TRACKING_URI=hanging_registry.address, **PATIENT)
    sidecar.until(lambda: sidecar.health("leads") == "SERVING", "the model with a file serves")
    assert sidecar.health("scores") == sidecar.health() == "NOT_SERVING"
    assert sidecar.health("liveness") == "SERVING"
    assert sidecar.health("nobody") == "NOT_FOUND"
    assert not sidecar.status().serving

    # Whoever asks all the same gets a decision: without a calibrator, everything holds.
    held = sidecar.ask(0.99, model="scores", category="")
    assert not held.may_act
    assert held.decision.action == decision_pb2.ACTION_HOLD_FOR_REVIEW
    assert list(held.decision.reasons) == [decision_pb2.REASON_NO_CALIBRATOR]
    assert sidecar.ask(0.99, category="").may_act

    hanging_registry.wait_for_caller()
    hanging_registry.release()
    sidecar.until(lambda: sidecar.health() == "SERVING", "the attempt failed, and holding is ready")
    assert sidecar.health("scores") == "SERVING"
    slots = {slot.model: slot for slot in sidecar.status().calibrators}
    assert slots["scores"].last_error_code == "REGISTRY_UNAVAILABLE"
    assert not slots["scores"].HasField("calibrator")


def test_a_model_without_a_calibrator_is_not_ready_where_the_setting_says_so(make_sidecar) -> None:
    sidecar = make_sidecar(
        TWO_MODELS.replace("models:/scores-calibrator@champion", "file:{home}/scores.json")
    )
    for model in ("leads", "late"):
        sidecar.write_calibrator(model=model)
    sidecar.start(serving=False, TRUEBAND_READY_WITHOUT_CALIBRATOR="false")
    sidecar.until(lambda: sidecar.health("leads") == "SERVING", "the model with a file serves")
    (missing,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest(model="scores")).calibrators
    assert missing.last_error_code == "FILE_UNREADABLE"
    # A model that comes later is told with the others, after their first attempts.
    sidecar.write_policy(sidecar.policy.read_text() + LATE)
    sidecar.until(lambda: sidecar.health("late") == "SERVING", "the late model serves")
    assert sidecar.health("scores") == sidecar.health() == "NOT_SERVING"

    sidecar.write_calibrator(model="scores")
    sidecar.until(lambda: sidecar.health() == "SERVING", "it has a calibrator now")
    # What is in force stays so when its file goes, and so does health.
    (sidecar.home / "scores.json").unlink()
    (gone,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest(model="scores")).calibrators
    assert gone.last_error_code == "FILE_UNREADABLE"
    assert gone.HasField("calibrator")
    assert sidecar.health() == "SERVING"


def test_what_can_be_seen_on_every_port(make_sidecar, free_port) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    listen, probe, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    sidecar.start("--listen", listen, "--health-listen", probe, "--metrics-listen", metrics, serving=False)
    sidecar.address = listen
    sidecar.until(lambda: sidecar.health() == "SERVING", "SERVING")

    services = ProtoReflectionDescriptorDatabase(sidecar.channel).get_services()
    own = {f"trueband.v1.{name}Service" for name in ("Routing", "Label", "Review", "Decision", "Admin")}
    assert own | {"grpc.health.v1.Health"} <= set(services)

    with grpc.insecure_channel(probe) as channel:
        assert sidecar.health(channel=channel) == "SERVING"
        assert sidecar.health("liveness", channel=channel) == "SERVING"
        with pytest.raises(grpc.RpcError) as refused:
            routing_pb2_grpc.RoutingServiceStub(channel).Route(routing_pb2.RouteRequest())
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    assert sidecar.ask(0.95, request_id="a").may_act
    assert sidecar.ask(0.95, request_id="a").decision.replayed
    assert not sidecar.ask(0.95, category="pricing").may_act
    with urllib.request.urlopen(f"http://{metrics}/metrics") as response:
        lines = response.read().decode().splitlines()
    acted = 'trueband_decisions_total{action="AUTO_ROUTE",band="auto",may_act="true",model="leads"} 1.0'
    assert acted in lines
    assert 'trueband_decision_reasons_total{model="leads",reason="MANDATORY_REVIEW"} 1.0' in lines
    assert "trueband_replayed_answers_total 1.0" in lines
    assert "mandatory_without_human_total 0.0" in lines
    assert 'trueband_request_seconds_count{method="Route",status="OK"} 3.0' in lines

    assert sidecar.stop() == 0
    for address in (listen, probe, metrics):
        host, _, port = address.rpartition(":")
        socket.create_server((host, int(port))).close()  # every port is free again


def test_sigterm_says_so_first_lets_open_calls_finish_and_forwards_the_journal(
    make_sidecar, hanging_registry, free_port
) -> None:
    sidecar = make_sidecar(TWO_MODELS)
    sidecar.write_calibrator()
    probe = f"127.0.0.1:{free_port()}"
    uri = {"MLFLOW_TRACKING_URI": hanging_registry.address}
    sidecar.start("--health-listen", probe, serving=False, **uri, **PATIENT)
    sidecar.until(lambda: sidecar.health("leads") == "SERVING", "the model with a file serves")
    hanging_registry.wait_for_caller()
    # A reload waits for the registry. The next call on the same connection comes behind it.
    open_call = sidecar.admin.ReloadNow.future(admin_pb2.ReloadNowRequest())
    last = sidecar.ask(0.95, category="")

    with grpc.insecure_channel(probe) as channel:
        sidecar.signal(signal.SIGTERM)
        sidecar.until(lambda: sidecar.health("leads", channel=channel) == "NOT_SERVING", "it says so")
        sidecar.until(lambda: refused_elsewhere(sidecar.address), "new calls are refused")
        assert not open_call.done()
        assert sidecar.health(channel=channel) == "NOT_SERVING"
        assert sidecar.health("liveness", channel=channel) == "SERVING"

    hanging_registry.release()
    assert {slot.model for slot in open_call.result().calibrators} == {"leads", "scores"}
    assert sidecar.wait() == 0
    assert not os.path.exists(sidecar.address.removeprefix("unix:"))
    with sidecar.ledger() as ledger:
        stored = ledger.read(queries.decision, last.decision.decision_id)
        assert stored is not None
        assert stored.acted
        sidecar_id = stored.answers[0].provenance.sidecar_id
        (stopped,) = sidecar.events("stopped")
        decided = stores.in_force(ledger, sidecar_id, "calibrator:leads", stored.answers[0].decided_at)
        assert decided is not None
        assert decided.digest == last.decision.calibrator.digest
        assert stores.in_force(ledger, sidecar_id, "calibrator:leads", 1e11) is None, "it stopped"
    assert stopped["level"] == "info"


def refused_elsewhere(address: str) -> bool:
    """Whether a new connection gets no answer."""
    with grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        try:
            routing_pb2_grpc.RoutingServiceStub(channel).RouteBatch(routing_pb2.RouteBatchRequest())
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined, no-any-return]
    return False


def test_a_second_sigterm_does_not_wait(make_sidecar, hanging_registry) -> None:
    sidecar = make_sidecar(TWO_MODELS)
    sidecar.write_calibrator()
    sidecar.start(serving=False, MLFLOW_TRACKING_URI=hanging_registry.address, **PATIENT)
    sidecar.until(lambda: sidecar.health("leads") == "SERVING", "the model with a file serves")
    hanging_registry.wait_for_caller()
    open_call = sidecar.admin.ReloadNow.future(admin_pb2.ReloadNowRequest())
    last = sidecar.ask(0.95, category="")
    sidecar.signal(signal.SIGTERM)
    sidecar.until(lambda: sidecar.events("draining"), "it drains")
    sidecar.until(lambda: refused_elsewhere(sidecar.address), "it waits for the open call")
    assert not open_call.done()

    sidecar.signal(signal.SIGTERM)
    assert sidecar.wait() == 128 + signal.SIGTERM
    assert open_call.exception().code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    # Nothing is lost by haste: the journal keeps it for the next start.
    sidecar.start(serving=False)
    sidecar.until(lambda: sidecar.health("leads") == "SERVING", "it is back")
    sidecar.caught_up()
    with sidecar.ledger() as ledger:
        assert ledger.read(queries.decision, last.decision.decision_id) is not None


def test_only_the_owner_and_the_group_may_connect_and_a_dead_socket_makes_way(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start()
    path = sidecar.address.removeprefix("unix:")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(sidecar.data_dir).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(sidecar.data_dir / "ledger.db").st_mode) == 0o600
    sidecar.kill()
    assert stat.S_ISSOCK(os.stat(path).st_mode), "it had no time to remove it"
    sidecar.start()
    assert sidecar.ask().may_act
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert sidecar.stop() == 0


def test_what_belongs_to_a_living_sidecar_is_refused_to_another(make_sidecar, free_port) -> None:
    first, second = make_sidecar(), make_sidecar()
    first.write_calibrator()
    first.start()
    said = second.refusal("--data-dir", str(first.data_dir))
    assert "is in use by another process" in said
    assert "a data directory of its own" in said
    said = second.refusal("--listen", first.address)
    assert "another process listens there" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag in ("--listen", "--health-listen", "--metrics-listen"):
            said = second.refusal(flag, address)
            assert f"error [SETTINGS_REFUSED]: {flag} {address}: " in said
    assert first.ask().may_act, "it was not disturbed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flags": ("--policy", "/nowhere/policy.yaml")}, "/nowhere/policy.yaml"),
        ({"flags": ("--listen", "0.0.0.0:50051")}, "can be reached from outside in clear"),
        ({"flags": ("--ledger-url", "mysql://somewhere")}, "must begin with one of sqlite, postgresql"),
        ({"TRUEBAND_DECISION_KEY": "beef"}, "64 hexadecimal digits"),
        ({"TRUEBAND_POLL_INTERVAL": "soon", "TRUEBAND_THREADS": "0"}, "TRUEBAND_POLL_INTERVAL"),
    ],
)
def test_it_does_not_start_with_a_setting_that_is_wrong_and_says_which(make_sidecar, changes, words) -> None:
    sidecar = make_sidecar()
    said = sidecar.refusal(*changes.pop("flags", ()), **changes)
    assert words in said
    assert said.count("error [") == 1


def test_a_sigterm_while_it_starts_ends_it_in_good_order(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start(serving=False)
    # The journal is opened early in the start, after signals are heeded.
    sidecar.until(lambda: (sidecar.data_dir / "journal" / "identity").exists(), "the journal is open")
    sidecar.signal(signal.SIGTERM)
    assert sidecar.wait() == 0
    assert sidecar.events("stopped")


def test_more_calls_than_it_can_bear_are_refused_and_the_rest_is_answered(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start(TRUEBAND_THREADS="1", TRUEBAND_MAX_CONCURRENT_CALLS="2")
    codes: list[str] = []
    together = threading.Barrier(16)

    def call() -> None:
        together.wait()
        for _ in range(40):
            try:
                assert sidecar.ask().may_act
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert sidecar.ask().may_act
