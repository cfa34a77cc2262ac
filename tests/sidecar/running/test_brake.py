"""The brake and the floors on running sidecars: at once, through kill -9, over the ledger, and by name."""

import contextlib
import hashlib
import json

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from trueband.v1 import admin_pb2, decision_pb2

from sidecar import cli
from sidecar.ledger import artifacts, governance, queries
from tests.sidecar import stores

HOLD = decision_pb2.ACTION_HOLD_FOR_REVIEW
SUSPENDED = decision_pb2.REASON_SUSPENDED
EVERYTHING = admin_pb2.SuspensionScope()
FLOORS = "version: 1\nmandatory_categories: [general]\n"
QUICK = {"TRUEBAND_SUSPENSION_POLL_INTERVAL": "0.1"}


def suspend(sidecar, scope=EVERYTHING, **changes):
    fields = {"scope": scope, "explanation": "a complaint", "suspended_by": "ada"} | changes
    return sidecar.admin.Suspend(admin_pb2.SuspendRequest(**fields), timeout=60).suspension


def resume(sidecar, suspension_id, **changes):
    fields = {"suspension_id": suspension_id, "explanation": "looked at", "resumed_by": "bob"} | changes
    return sidecar.admin.Resume(admin_pb2.ResumeRequest(**fields), timeout=60).suspension


def listed(sidecar):
    return list(sidecar.admin.ListSuspensions(admin_pb2.ListSuspensionsRequest(), timeout=60).suspensions)


def run(capsys, sidecar, *arguments):
    code = cli.main([str(argument) for argument in (*arguments, "--address", sidecar.address)])
    said = capsys.readouterr()
    return code, said.out, said.err


@contextlib.contextmanager
def refused(code, *fields):
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code
    status = rpc_status.from_call(caught.value)
    found = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(found)
    assert [item.field for item in found.field_violations] == list(fields)


@pytest.fixture(scope="module")
def sidecar(make_shared_sidecar):
    made = make_shared_sidecar(**QUICK)
    made.write_calibrator()
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Each test lifts what it suspends, or the next one would start from it."""
    yield
    if "sidecar" in request.fixturenames:
        for each in listed(request.getfixturevalue("sidecar")):
            resume(request.getfixturevalue("sidecar"), each.suspension_id)


def test_what_is_suspended_holds_at_once_and_until_it_is_lifted(sidecar, capsys):
    assert sidecar.ask().may_act
    made = suspend(sidecar, admin_pb2.SuspensionScope(model="leads", band="auto"))
    held = sidecar.ask()
    assert not held.may_act
    assert held.decision.action == HOLD
    assert SUSPENDED in held.decision.reasons
    (hit,) = held.decision.floors
    assert hit.floor == f"suspension:{made.suspension_id}"
    assert hit.reason == SUSPENDED
    assert sidecar.ask(0.8).may_act, "another band"
    assert listed(sidecar) == [made]
    assert made.suspended_by == "ada"
    assert made.explanation == "a complaint"
    assert made.suspended_at.seconds > 0

    assert resume(sidecar, made.suspension_id) == made
    assert listed(sidecar) == []
    assert sidecar.ask().may_act

    sidecar.caught_up()
    url = ("--data-dir", sidecar.data_dir)
    assert cli.main(["explain", held.decision.decision_id, "--recompute", *map(str, url)]) == 0
    assert "agree bit for bit" in capsys.readouterr().out
    with sidecar.ledger() as ledger:
        assert [event.resumed_by for event in ledger.read(governance.suspensions, [made.suspension_id])] == [
            "bob"
        ]


def test_a_suspended_rejection_goes_to_a_person(sidecar):
    assert sidecar.ask(0.1).decision.action == decision_pb2.ACTION_REJECT
    suspend(sidecar, admin_pb2.SuspensionScope(band="reject"))
    assert sidecar.ask(0.1).decision.action == decision_pb2.ACTION_ESCALATE


def test_the_default_tenant_alone(sidecar):
    suspend(sidecar, admin_pb2.SuspensionScope(tenant=""))
    assert not sidecar.ask().may_act
    assert sidecar.ask(tenant="acme").may_act


def test_bad_requests_are_named_by_field_and_change_nothing(sidecar):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    with refused(invalid, "scope"):
        suspend(sidecar, None)
    with refused(invalid, "scope.source"):
        suspend(sidecar, admin_pb2.SuspensionScope(source=99))
    with refused(invalid, "scope.model"):
        suspend(sidecar, admin_pb2.SuspensionScope(model="lead"))
    with refused(invalid, "scope.band"):
        suspend(sidecar, admin_pb2.SuspensionScope(band="best"))
    with refused(invalid, "explanation", "suspended_by"):
        suspend(sidecar, explanation=" ", suspended_by="")
    with refused(invalid, "explanation"):
        suspend(sidecar, explanation="x" * 5000)
    assert listed(sidecar) == []
    made = suspend(sidecar)
    with refused(invalid, "suspension_id"):
        resume(sidecar, "all")
    with refused(invalid, "resumed_by"):
        resume(sidecar, made.suspension_id, resumed_by="")
    with refused(grpc.StatusCode.NOT_FOUND):
        resume(sidecar, "0" * 32)
    assert listed(sidecar) == [made]


def test_the_command_line_suspends_shows_and_resumes(sidecar, capsys):
    scope = ("--model", "leads", "--category", "General", "--tenant", "", "--source", "primary")
    code, out, err = run(capsys, sidecar, "suspend", "--reason", "drift\nseen", "--by", "ada", *scope)
    assert (code, err) == (0, "")
    assert "SUSPENDED   tenant '', model leads, category general, source primary" in out
    (made,) = listed(sidecar)
    assert f"{made.suspension_id}: drift seen" in out
    assert f"trueband-sidecar resume {made.suspension_id}" in out
    assert not sidecar.ask().may_act

    code, out, _ = run(capsys, sidecar, "status")
    assert code == 0
    assert "SUSPENDED   tenant '', model leads" in out
    assert made.suspension_id in out
    code, out, _ = run(capsys, sidecar, "status", "--json")
    (told,) = json.loads(out)["suspensions"]
    assert told["suspended_by"] == "ada"
    assert told["scope"]["tenant"] == ""

    code, out, _ = run(capsys, sidecar, "resume", made.suspension_id, "--reason", "fine", "--by", "bob")
    assert code == 0
    assert "which ada had suspended: drift seen" in out
    code, out, _ = run(capsys, sidecar, "status")
    assert "SUSPENDED" not in out
    code, _, err = run(capsys, sidecar, "resume", made.suspension_id, "--reason", "fine", "--by", "bob")
    assert code == 2
    assert "bob has lifted it" in err


def test_everything_must_be_said_in_full(sidecar, capsys):
    given = ("suspend", "--reason", "why", "--by", "ada")
    code, out, err = run(capsys, sidecar, *given)
    assert (code, out) == (2, "")
    assert "--everything" in err
    code, _, err = run(capsys, sidecar, *given, "--everything", "--model", "leads")
    assert code == 2
    assert "--model" in err
    code, _, err = run(capsys, sidecar, *given, "--model", "")
    assert code == 2
    assert "--model is empty" in err
    code, _, err = run(capsys, sidecar, *given, "--model", "lead")
    assert code == 2
    assert "INVALID_ARGUMENT" in err
    assert listed(sidecar) == []
    code, out, _ = run(capsys, sidecar, *given, "--everything")
    assert code == 0
    assert "EVERYTHING" in out
    assert not sidecar.ask().may_act
    assert not sidecar.ask(0.8, tenant="acme", category="refunds").may_act


def test_kill_9_right_after_the_answer_forgets_nothing(make_sidecar):
    """The ledger is gone as well: the sidecar's own file is enough, and its journal brings a new ledger up to date."""
    sidecar = make_sidecar(**QUICK)
    sidecar.write_calibrator()
    sidecar.start()
    lifted = suspend(sidecar, admin_pb2.SuspensionScope(tenant="acme"))
    made = suspend(sidecar, admin_pb2.SuspensionScope(model="leads"))
    resume(sidecar, lifted.suspension_id)
    sidecar.kill()
    for file in sidecar.data_dir.glob("ledger.db*"):
        file.unlink()
    away = f"sqlite:///{sidecar.home}/nowhere/ledger.db"
    sidecar.start(TRUEBAND_LEDGER_URL=away)
    assert listed(sidecar) == [made]
    assert not sidecar.ask().may_act
    sidecar.kill()

    sidecar.start()
    assert listed(sidecar) == [made]
    assert resume(sidecar, made.suspension_id) == made
    sidecar.kill()
    sidecar.start()
    assert listed(sidecar) == []
    assert sidecar.ask().may_act
    assert sidecar.stop() == 0
    with sidecar.ledger() as ledger:
        assert ledger.read(governance.suspensions) == ()
        assert [event.resumed_by for event in ledger.read(governance.suspensions, [made.suspension_id])] == [
            "bob"
        ]


def test_it_reaches_the_other_sidecar_through_the_ledger_and_can_be_lifted_there(make_sidecar):
    first = make_sidecar(**QUICK)
    url = f"sqlite:///{first.home}/shared.db"
    second = make_sidecar(**QUICK)
    for each in (first, second):
        each.write_calibrator()
        each.start(TRUEBAND_LEDGER_URL=url)
    assert second.ask().may_act
    made = suspend(first, admin_pb2.SuspensionScope(category="general"))
    second.until(lambda: not second.ask().may_act, "the suspension arrives")
    assert listed(second) == [made]
    second.kill()
    second.start(TRUEBAND_LEDGER_URL=url)
    assert listed(second) == [made]

    third = make_sidecar(**QUICK)  # a fresh disk: it must know before its first answer
    third.write_calibrator()
    third.start(TRUEBAND_LEDGER_URL=url)
    assert not third.ask().may_act

    resume(second, made.suspension_id)
    assert second.ask().may_act
    for each in (first, third):
        each.until(lambda each=each: each.ask().may_act, "the lifting arrives")
        assert listed(each) == []


def test_it_does_not_start_where_it_cannot_know_what_is_suspended(make_sidecar):
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start()
    suspend(sidecar)
    sidecar.stop()
    path = sidecar.data_dir / "suspensions.json"
    body = path.read_bytes()
    path.write_bytes(body[:-7])
    said = sidecar.refusal()
    assert "SUSPENSIONS_UNREADABLE" in said
    assert str(path) in said
    assert "restore the file" in said
    path.write_bytes(body)
    sidecar.start()
    assert not sidecar.ask().may_act


def test_floors_bind_every_decision_and_a_running_sidecar_does_not_let_go_of_them(make_sidecar, capsys):
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    floors = sidecar.home / "floors.yaml"
    said = sidecar.refusal("--floors", str(floors))
    assert "floors.yaml: cannot be read" in said
    floors.write_text("version: 1\nmandatory: [general]\n")
    assert "mandatory: no such key" in sidecar.refusal(TRUEBAND_FLOORS=str(floors))

    floors.write_text(FLOORS)
    sidecar.start("--floors", str(floors))
    held = sidecar.ask(0.99)
    assert held.decision.action == HOLD
    assert decision_pb2.REASON_MANDATORY_REVIEW in held.decision.reasons
    digest = sidecar.status().floors_digest
    assert digest
    assert held.decision.floors_digest == digest
    response = sidecar.admin.GetPolicy(admin_pb2.GetPolicyRequest(), timeout=60)
    assert f"Floors digest `{digest}`" in response.specification

    floors.write_text("version: 1\n")
    sidecar.until(lambda: sidecar.status().policy_last_error, "the refusal")
    assert "category general" in sidecar.status().policy_last_error
    assert not sidecar.ask(0.99).may_act
    assert sidecar.status().floors_digest == digest

    floors.write_text(FLOORS.replace("[general]", "[general, refunds]"))
    sidecar.until(lambda: sidecar.status().floors_digest != digest, "stricter floors")
    assert sidecar.status().policy_last_error == ""
    assert not sidecar.ask(0.99, category="refunds").may_act

    sidecar.caught_up()
    with sidecar.ledger() as ledger:
        with ledger.reading() as reading:
            assert artifacts.floors_of(reading, digest) is not None
        stored = ledger.read(queries.decision, held.decision.decision_id)
        at = stores.in_force(
            ledger, stored.answers[0].provenance.sidecar_id, "floors", stored.answers[0].decided_at
        )
        assert at.digest == digest
    command = ["explain", held.decision.decision_id, "--recompute", "--data-dir", str(sidecar.data_dir)]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    assert "agree bit for bit" in told
    assert f"floors    {digest}" in told

    sidecar.stop()
    floors.write_text("version: 1\n")
    sidecar.start(TRUEBAND_FLOORS=str(floors))
    assert sidecar.ask(0.99).may_act, "a restart may let go"


PRINCIPALS = "principals:\n" + "".join(
    f"  - {{name: {name}, kind: {kind}, roles: [operator, caller], token_sha256: "
    f"{hashlib.sha256(name.encode()).hexdigest()}}}\n"
    for name, kind in (("ada", "person"), ("monitor", "service"))
)


def test_a_service_may_suspend_and_only_a_person_may_lift_it_by_their_own_name(make_sidecar, capsys):
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    principals = sidecar.home / "principals.yaml"
    principals.write_text(PRINCIPALS)
    sidecar.start(TRUEBAND_PRINCIPALS=str(principals))

    def call(method, request, token):
        return method(request, timeout=60, metadata=(("authorization", f"Bearer {token}"),))

    admin = sidecar.admin
    fields = {"scope": EVERYTHING, "explanation": "an alarm"}
    request = admin_pb2.SuspendRequest(**fields, suspended_by="")
    made = call(admin.Suspend, request, "monitor").suspension
    assert made.suspended_by == "monitor", "by authentication, not by what the request says"
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "suspended_by"):
        call(admin.Suspend, admin_pb2.SuspendRequest(**fields, suspended_by="ada"), "monitor")

    lift = admin_pb2.ResumeRequest(suspension_id=made.suspension_id, explanation="over")
    with refused(grpc.StatusCode.PERMISSION_DENIED):
        call(admin.Resume, lift, "monitor")
    with refused(grpc.StatusCode.UNAUTHENTICATED):
        admin.Resume(lift, timeout=60)
    other = admin_pb2.ResumeRequest(
        suspension_id=made.suspension_id, explanation="over", resumed_by="somebody"
    )
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "resumed_by"):
        call(admin.Resume, other, "ada")
    assert len(call(admin.ListSuspensions, admin_pb2.ListSuspensionsRequest(), "ada").suspensions) == 1

    token = sidecar.home / "token"
    token.write_text("ada\n")
    given = ("resume", made.suspension_id, "--reason", "over", "--token-file", token)
    code, _, err = run(capsys, sidecar, *given)
    assert (code, err) == (0, "")
    assert call(admin.ListSuspensions, admin_pb2.ListSuspensionsRequest(), "ada").suspensions == []
    kept = json.loads((sidecar.data_dir / "suspensions.json").read_text())["events"]
    assert [event.get("resumed_by") for event in kept] == [None, "ada"]
