"""`on_breach: hold`: a fired alarm suspends its band through a running sidecar, once, and only a person lifts it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from trueband.v1 import admin_pb2, admin_pb2_grpc

from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from training import cli
from training.demo import processes
from training.watch import consequences, state, store

BROKEN = [number % 6 != 0 for number in range(120)]
POLICY = """
version: 1
models:
  leads:
    calibrator: file:{home}/none.json
    evidence: score
    bands:
      - {{name: auto, from: 0.90, action: AUTO_ROUTE, promise: {{accuracy: 0.95}}, on_breach: hold}}
      - {{name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED}}
      - {{name: reject, from: 0.00, action: REJECT}}
    categories:
      general: {{}}
      refunds: {{promise: {{accuracy: 0.99}}}}
"""


class Admin:
    """What a person sees and does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address)
        self._stub = admin_pb2_grpc.AdminServiceStub(self._channel)

    def suspensions(self) -> list[admin_pb2.Suspension]:
        found = self._stub.ListSuspensions(admin_pb2.ListSuspensionsRequest(), timeout=60).suspensions
        return sorted(found, key=lambda each: each.suspension_id)

    def suspend(self, **scope: str) -> str:
        request = admin_pb2.SuspendRequest(
            scope=admin_pb2.SuspensionScope(**scope), explanation="a complaint", suspended_by="ada"
        )
        return str(self._stub.Suspend(request, timeout=60).suspension.suspension_id)

    def lift(self, suspension_id: str) -> None:
        request = admin_pb2.ResumeRequest(
            suspension_id=suspension_id, explanation="the feed is mended", resumed_by="bob"
        )
        self._stub.Resume(request, timeout=60)

    def caught_up(self) -> None:
        """Returns once the ledger has all that the sidecar knows."""
        while self._stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=60).journal.backlog_records:
            pass

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def policy_file(world) -> Path:
    text = POLICY.format(home=world.home)
    world.use(text)
    file = world.home / "policy.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def admin(world, policy_file: Path) -> Iterator[Admin]:
    """A running sidecar over the very ledger that is watched."""
    with processes.sidecar(policy_file, world.home, {"TRUEBAND_METRICS_LISTEN": ""}) as service:
        service.wait()
        found = Admin(service.address)
        yield found
        found.close()
    assert "unhandled_exception" not in service.log.read_text()


def alarms_of(world) -> list[state.Alarm]:
    kept = [state.decode(body) for name, body in world.states().items() if name != store.ROW]
    return [alarm for each in kept for alarm in each.alarms if alarm.kind == "ACCURACY"]


def test_a_breach_suspends_its_band_once_and_what_a_person_lifts_stays_lifted(world, admin: Admin) -> None:
    world.add([True] * 60)
    code, out, err = world.watch("--address", admin.address)
    assert (code, err, admin.suspensions()) == (0, "", [])

    world.add(BROKEN)
    code, out, err = world.watch("--address", admin.address, "--fail-on-alarm")
    assert (code, err) == (3, "")
    (made,) = admin.suspensions()
    assert made.scope == admin_pb2.SuspensionScope(model="leads", model_version="v1", band="auto")
    assert made.suspended_by == "trueband-watch"
    (alarm,) = alarms_of(world)
    assert alarm.suspension_id == made.suspension_id
    (stream,) = {name for name in world.states() if name != store.ROW}
    assert f"stream {stream} (auto, leads v1)" in made.explanation
    assert (
        f"of {alarm.labels} audit labels {alarm.correct} were correct where 95.0% is promised"
        in made.explanation
    )
    assert f"auto, leads v1 is suspended by {made.suspension_id}; only a person lifts it" in out
    assert f"suspension {made.suspension_id} was set" in " ".join(out.split())

    world.watch("--address", admin.address)
    assert admin.suspensions() == [made], "the next look doubles nothing"
    admin.lift(made.suspension_id)
    world.add([False] * 20)
    world.watch("--address", admin.address)
    assert admin.suspensions() == [], "for this alarm it was suspended, and a person has lifted it"

    admin.caught_up()
    code, out, _ = world.watch("--acknowledge", stream, "--by", "ada", "--reason", "mended")
    assert code == 0
    assert f"suspension {made.suspension_id} is no more: bob lifted it at " in out
    world.add(BROKEN)
    world.watch("--address", admin.address)
    (again,) = admin.suspensions()
    assert again.suspension_id != made.suspension_id, "another breach"
    admin.caught_up()
    _, out, _ = world.watch("--acknowledge", stream, "--by", "ada", "--reason", "seen")
    assert f"trueband-sidecar resume {again.suspension_id} --reason TEXT --by NAME" in out
    assert "bob lifted it" in out, "the first one, of the earlier alarm"


def test_a_suspension_that_is_there_is_not_doubled(world, admin: Admin) -> None:
    theirs = admin.suspend(model="leads", model_version="v1", band="auto")
    wider = admin.suspend(model="leads")
    world.add(BROKEN)
    assert world.watch("--address", admin.address)[0] == 0
    assert {each.suspension_id for each in admin.suspensions()} == {theirs, wider}
    assert [alarm.suspension_id for alarm in alarms_of(world)] == [theirs]


def test_a_category_with_its_own_promise_is_suspended_alone(world, admin: Admin) -> None:
    world.add([number % 12 != 0 for number in range(240)], category="refunds", model_version="")
    world.watch("--address", admin.address)
    (made,) = admin.suspensions()
    assert made.scope == admin_pb2.SuspensionScope(model="leads", band="auto", category="refunds")


def test_two_at_once_suspend_once(world, admin: Admin) -> None:
    world.add(BROKEN)
    ready, codes = threading.Barrier(4), []

    def watch() -> None:
        ready.wait()
        at = ("--as-of", "1791000000", "--json")
        codes.append(cli.main(["watch", "--ledger-url", world.url, "--address", admin.address, *at]))

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0, 0]
    assert len(admin.suspensions()) == 1


def test_while_one_suspends_another_leaves_it_alone(
    world, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is suspended and the suspension there is time for another watch to do the same."""
    world.add(BROKEN)
    inside, go_on, asked = threading.Event(), threading.Event(), []

    def slow(*_: object, **__: object) -> str:
        asked.append(1)
        inside.set()
        assert go_on.wait(60)
        return "0" * 32

    monkeypatch.setattr(consequences, "_suspended", slow)
    command = [
        "watch",
        "--ledger-url",
        world.url,
        "--address",
        "unix:nobody",
        "--as-of",
        "1791000000",
        "--json",
    ]
    first = threading.Thread(target=cli.main, args=(command,))
    first.start()
    assert inside.wait(60)
    assert cli.main(command) == 0
    (stale,) = (state.decode(body) for name, body in world.states().items() if name != store.ROW)
    unclaimed = [state.replace(each, hold_claimed_at=None) for each in alarms_of(world)]
    with Ledger(world.url) as ledger:
        # What a watch that looked before the first one claimed it would do.
        told = consequences.suspend_once(
            ledger, "unix:nobody", "", "leads", stale, unclaimed[0], now=1_791_000_001.0
        )
    assert told == ""
    go_on.set()
    first.join()
    assert len(asked) == 1
    assert [each.suspension_id for each in alarms_of(world)] == ["0" * 32]


def test_a_sidecar_that_is_away_is_told_and_tried_again(world, policy_file: Path, request) -> None:
    world.add(BROKEN)
    code, _, err = world.watch("--address", f"unix:{world.home}/nobody")
    assert code == 1, "a suspension that is not there is worse than an alarm"
    assert "not done: " in err
    assert "is to be suspended and is not: UNAVAILABLE" in err
    assert [(each.suspension_id, each.hold_claimed_at) for each in alarms_of(world)] == [("", None)]
    assert world.watch("--address", f"unix:{world.home}/nobody", "--fail-on-alarm")[0] == 1
    admin = request.getfixturevalue("admin")
    assert world.watch("--address", admin.address)[0] == 0
    assert len(admin.suspensions()) == 1


def test_without_a_way_to_hold_nothing_is_looked_at(world, policy_file: Path) -> None:
    world.add(BROKEN)
    code, out, err = world.watch()
    assert (code, out) == (2, "")
    assert "the policy of leads says on_breach: hold" in err
    assert "give --address" in err
    assert world.states() == {}
    assert world.watch("--dry-run", "--fail-on-alarm")[0] == 3
    code, out, _ = world.watch("--dry-run")
    assert "suspended" not in out


def test_an_alarm_of_a_band_that_does_not_hold_suspends_nothing(world, admin: Admin) -> None:
    outcomes = [number % 2 == 0 for number in range(100)]
    world.add(outcomes, band="flagged", calibrated_confidence=None)
    world.add([number % 4 != 0 for number in range(100)], calibrated_confidence=0.2, model_version="v2")
    code, _, _ = world.watch("--address", admin.address, "--fail-on-alarm")
    assert code == 3
    (made,) = admin.suspensions()
    assert (made.scope.band, made.scope.model_version) == ("auto", "v2"), (
        "its ACCURACY alarm, not the other one"
    )
    assert len(alarms_of(world)) == 2


def test_what_another_watch_has_claimed_is_left_to_it_for_a_while() -> None:
    alarm = state.Alarm(
        kind="ACCURACY",
        detector="mixture",
        fired_at=0.0,
        label_at=0.0,
        labels=50,
        correct=40,
        log_evidence=4.0,
        log_needed=3.7,
    )
    assert alarm.wants_hold(10.0)
    claimed = state.replace(alarm, hold_claimed_at=10.0)
    assert not claimed.wants_hold(10.0 + state.CLAIM_SECONDS - 1)
    assert claimed.wants_hold(10.0 + state.CLAIM_SECONDS), "whoever claimed it has died"
    assert not state.replace(alarm, suspension_id="x").wants_hold(10.0)
    assert not state.replace(alarm, kind="CALIBRATION").wants_hold(10.0)
    assert not alarm.acknowledged(by="ada", reason="x", at=5.0).wants_hold(10.0)


def test_which_policies_hold_anywhere() -> None:
    def entry(text: str):
        return loading.parse(f"version: 1\nmodels: {{leads: {text}}}").policy.models["leads"]

    plain = "calibrator: 'models:/l@champion', evidence: score"
    own = "[{name: auto, from: 0.9, action: AUTO_ROUTE, on_breach: hold}, {name: r, from: 0, action: REJECT}]"
    assert not consequences.any_band_holds(entry(f"{{{plain}}}"))
    assert consequences.any_band_holds(entry(f"{{{plain}, bands: {own}}}"))
    assert consequences.any_band_holds(entry(f"{{{plain}, categories: {{general: {{bands: {own}}}}}}}"))


def test_a_ledger_without_the_stream_suspends_nothing(world, policy_file: Path) -> None:
    from training import errors

    with (
        Ledger(world.url) as ledger,
        pytest.raises(errors.RequestRefused, match="no stream zzz of model leads"),
    ):
        store.amend(ledger, "leads", "zzz", lambda kept: kept, at=0.0)
