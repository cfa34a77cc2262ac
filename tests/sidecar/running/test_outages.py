"""Registry, ledger or disk away: the service starts, answers as promised, and loses nothing."""

import shutil
import time
import urllib.request

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from trueband.v1 import admin_pb2, decision_pb2, evidence_pb2, review_pb2, routing_pb2

from calibrators import AppliesTo, Calibrator, Platt
from sidecar import cli
from sidecar.decision import recompute
from sidecar.decision.suspensions import Suspensions
from sidecar.ledger import artifacts, queries
from sidecar.service.in_force import brake

REGISTRY = """
version: 1
models:
  leads:
    calibrator: models:/outage-calibrator@champion
    evidence: score
"""
STALE = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
    categories: {{general: {{}}}}
    stale: {{after: 2s, action: ESCALATE}}
"""
BACKLOG = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
    categories: {{general: {{}}}}
review: {{max_backlog_age: 500ms}}
"""
HOLD, UNCERTAIN = decision_pb2.ACTION_HOLD_FOR_REVIEW, decision_pb2.ACTION_UNCERTAIN
DELAYED, UNAVAILABLE = decision_pb2.REASON_REVIEW_DELAYED, decision_pb2.REASON_REVIEW_UNAVAILABLE


def away(sidecar, *, knows: bool = True) -> str:
    """The flag for a ledger whose folder does not exist; whether an earlier life has heard of suspensions."""
    sidecar.data_dir.mkdir(mode=0o700, exist_ok=True)
    file = sidecar.data_dir / "suspensions.json"
    if knows and not file.exists():
        brake.write_suspensions(file, Suspensions(), confirmed_at=time.time())
    return f"sqlite:///{sidecar.home / 'gone' / 'ledger.db'}"


def bring_back(sidecar) -> None:
    """Makes the folder of that ledger, where `sidecar.ledger()` finds it too."""
    (sidecar.home / "gone").mkdir()


def test_it_starts_and_serves_from_the_cache_with_the_registry_away(
    make_sidecar, mlflow_server, register_version, free_port
) -> None:
    applies = AppliesTo(model="leads", model_versions=None, evidence="score")
    fitted = Calibrator(Platt(slope=0.8, intercept=0.1, on="logit"), applies_to=applies)
    version = register_version("outage-calibrator", fitted, alias="champion")
    sidecar = make_sidecar(REGISTRY)
    sidecar.start(MLFLOW_TRACKING_URI=mlflow_server)
    sidecar.until(lambda: sidecar.ask().decision.HasField("calibrator"), "the champion")
    before = sidecar.ask().decision
    assert (before.calibrator.version, before.calibrator.digest) == (version, fitted.digest)
    assert sidecar.stop() == 0

    sidecar.start(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    after = sidecar.ask()
    assert after.may_act
    assert (after.decision.calibrator.version, after.decision.calibrator.digest) == (version, fitted.digest)
    assert after.decision.calibrated_confidence == before.calibrated_confidence
    (slot,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest()).calibrators
    assert slot.last_error_code == "REGISTRY_UNAVAILABLE"
    assert slot.from_cache
    assert not slot.stale
    # As stale as it really is: the first life's word is what counts.
    assert slot.calibrator.stale_age.ToNanoseconds() > 0
    assert slot.confirmed_at.ToNanoseconds() < sidecar.status().started_at.ToNanoseconds()
    assert sidecar.health() == "SERVING"


def test_a_calibrator_that_nobody_confirms_holds_after_its_budget(make_sidecar) -> None:
    sidecar = make_sidecar(STALE)
    sidecar.write_calibrator()
    sidecar.start()
    sidecar.until(lambda: sidecar.ask().may_act, "a fresh calibrator routes")
    document = (sidecar.home / "leads.json").read_text()
    (sidecar.home / "leads.json").unlink()
    sidecar.until(lambda: not sidecar.ask().may_act, "the budget is spent")
    stale = sidecar.ask().decision
    assert stale.action == decision_pb2.ACTION_ESCALATE
    assert list(stale.reasons) == [decision_pb2.REASON_CALIBRATOR_STALE]
    assert stale.calibrated_confidence == 0.95
    assert stale.calibrator.stale_age.ToMilliseconds() > 2000
    (slot,) = sidecar.status().calibrators
    assert slot.stale
    assert slot.last_error_code == "FILE_UNREADABLE"
    (sidecar.home / "leads.json").write_text(document)
    sidecar.until(lambda: sidecar.ask().may_act, "it is confirmed again")


def test_with_the_ledger_away_holds_are_delayed_and_nothing_is_lost(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start("--ledger-url", away(sidecar))
    sidecar.until(lambda: sidecar.status().journal.last_error, "it noticed")
    automatic = sidecar.ask(0.95).decision
    assert automatic.may_act
    assert list(automatic.reasons) == [decision_pb2.REASON_BAND], "no person waits for it"
    held = sidecar.ask(0.6).decision
    assert held.action == HOLD
    assert list(held.reasons) == [decision_pb2.REASON_BAND, DELAYED]

    with pytest.raises(grpc.RpcError) as failed:
        sidecar.decisions.GetDecision(decision_pb2.GetDecisionRequest(decision_id=held.decision_id))
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(failed.value) == "LEDGER_UNAVAILABLE"
    with pytest.raises(grpc.RpcError):
        sidecar.reviews.ListTasks(review_pb2.ListTasksRequest())
    assert sidecar.status().journal.backlog_records >= 2

    # It may stop and start meanwhile: nobody waits for the ledger, and the journal keeps everything.
    assert sidecar.stop() == 0
    sidecar.start("--ledger-url", away(sidecar))
    later = sidecar.ask(0.6).decision
    bring_back(sidecar)
    sidecar.caught_up()
    assert not sidecar.status().journal.last_error
    (task,) = sidecar.reviews.ListTasks(review_pb2.ListTasksRequest(decision_id=held.decision_id)).tasks
    assert task.kind == review_pb2.TASK_KIND_HOLD
    for decision in (automatic, held, later):
        record = sidecar.decisions.GetDecision(
            decision_pb2.GetDecisionRequest(decision_id=decision.decision_id)
        ).decision
        assert [answer.answer_id for answer in record.answers] == [decision.answer_id]
    assert list(sidecar.ask(0.6).decision.reasons) == [decision_pb2.REASON_BAND]


def test_on_a_new_disk_nothing_acts_before_the_ledger_has_said_what_is_suspended(
    make_sidecar, capsys
) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start("--ledger-url", away(sidecar, knows=False))
    held = sidecar.ask(0.95).decision
    assert (held.action, held.may_act) == (HOLD, False)
    assert decision_pb2.REASON_SUSPENSIONS_UNKNOWN in held.reasons
    assert [floor.floor for floor in held.floors] == ["suspensions_unknown"]
    known = sidecar.status().brake
    assert not known.known
    assert not known.HasField("confirmed_at")
    assert known.last_error
    assert cli.main(["status", "--address", sidecar.address]) == 0
    assert "suspensions NOT KNOWN, so nothing acts" in capsys.readouterr().out

    bring_back(sidecar)
    sidecar.until(lambda: sidecar.ask(0.95).may_act, "the ledger has answered")
    assert sidecar.status().brake.known
    sidecar.caught_up()
    shutil.copytree(sidecar.home / "gone", sidecar.data_dir, dirs_exist_ok=True)
    assert cli.main(["explain", held.decision_id, "--recompute", "--data-dir", str(sidecar.data_dir)]) == 0
    assert "agree bit for bit" in capsys.readouterr().out


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason of a failed call; an outage also says when to try again."""
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    assert retry.retry_delay.seconds > 0
    return str(info.reason)


def test_a_backlog_that_is_too_old_cannot_hold_for_review(make_sidecar) -> None:
    sidecar = make_sidecar(BACKLOG)
    sidecar.write_calibrator()
    sidecar.start("--ledger-url", away(sidecar))
    sidecar.until(lambda: sidecar.ask(0.6).decision.action == UNCERTAIN, "the backlog is too old")
    answer = sidecar.ask(0.6).decision
    assert UNAVAILABLE in answer.reasons
    assert not answer.may_act
    assert answer.retry_after.seconds > 0
    assert [candidate.answer_class for candidate in answer.candidates] == ["interested"]
    assert sidecar.ask(0.95).may_act, "what waits for nobody goes on"
    bring_back(sidecar)
    sidecar.until(lambda: sidecar.ask(0.6).decision.action == HOLD, "the backlog is gone")


def fill(sidecar) -> list[decision_pb2.Decision]:
    """Routes until the journal takes no more; what was acknowledged."""
    recorded: list[decision_pb2.Decision] = []
    context = {"letter": "x" * 2000}
    evidence = evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=0.95))
    item = routing_pb2.RouteRequest(model="leads", category="general", evidence=evidence, context=context)
    batch = routing_pb2.RouteBatchRequest(items=[item] * 50)
    while True:
        try:
            decisions = [each.decision for each in sidecar.routing.RouteBatch(batch).items]
        except grpc.RpcError:
            break
        assert all(each.may_act for each in decisions)
        recorded += decisions
    # What is left of the bound is for single calls.
    with pytest.raises(grpc.RpcError) as refused:
        sidecar.routing.RouteBatch(batch)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(refused.value) == "JOURNAL_FILLING"
    while True:
        decision = sidecar.routing.Route(item).decision
        if decision.action == UNCERTAIN:
            assert not decision.may_act
            assert UNAVAILABLE in decision.reasons
            assert decision.retry_after.seconds > 0
            return recorded
        assert decision.may_act
        recorded.append(decision)


def test_a_full_journal_is_uncertain_even_over_a_restart_until_the_ledger_is_back(make_sidecar) -> None:
    sidecar = make_sidecar(TRUEBAND_JOURNAL_MAX_BYTES=str(1 << 20))
    sidecar.write_calibrator()
    sidecar.start("--ledger-url", away(sidecar))
    recorded = fill(sidecar)
    assert recorded
    while sidecar.ask(0.95, category="pricing").decision.action != UNCERTAIN:
        pass  # smaller records still find room
    status = sidecar.status().journal
    assert status.size_bytes <= status.max_size_bytes == 1 << 20
    assert "bring the ledger back, or raise the journal's bound" in status.append_error
    sidecar.stop()

    # A full journal must not keep it from starting, or it could never be emptied. Another policy now.
    sidecar.write_policy(
        sidecar.policy.read_text().replace("1.0", "0.5").replace("{", "{{").replace("}", "}}")
    )
    sidecar.start("--ledger-url", away(sidecar))
    answer = sidecar.ask(0.95).decision
    assert (answer.action, answer.may_act) == (UNCERTAIN, False)
    assert UNAVAILABLE in answer.reasons

    bring_back(sidecar)
    sidecar.until(lambda: sidecar.ask(0.95).may_act, "there is room again")
    last = sidecar.ask(0.95).decision
    assert last.policy_digest != recorded[0].policy_digest
    sidecar.caught_up()
    shutil.copytree(sidecar.home / "gone", sidecar.data_dir, dirs_exist_ok=True)
    with sidecar.ledger() as ledger:
        for decision in (*recorded, last):
            stored = ledger.read(queries.decision, decision.decision_id)
            assert stored is not None
            assert [each.answer_id for each in stored.answers] == [decision.answer_id]
        assert ledger.read(queries.decision, answer.decision_id) is None, (
            "an unrecorded answer is not a decision"
        )
        with ledger.reading() as at:
            policy, document = (
                artifacts.text_of(at, each) for each in (last.policy_digest, last.calibrator.digest)
            )
        assert policy is not None
        assert document is not None
        verdict = recompute.recompute(stored.answers[0], policy, document)
        assert recompute.differences(stored.answers[0], verdict) == []


def test_what_a_failing_disk_did_to_the_journal_is_in_the_status_and_the_metrics(
    make_sidecar, free_port, capsys
) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start("--ledger-url", away(sidecar))
    for _ in range(3):
        assert sidecar.ask(0.95).decision.may_act
    sidecar.kill()
    path = max((sidecar.data_dir / "journal").glob("*.journal"), key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # within a record
    path.write_bytes(content[:-5])  # and a write that never ended

    metrics = f"127.0.0.1:{free_port()}"
    sidecar.start("--ledger-url", away(sidecar), "--metrics-listen", metrics)
    status = sidecar.status().journal
    assert status.corrupt_bytes > 0
    assert status.cut_bytes > 0
    damage = {"corrupt": status.corrupt_bytes, "cut": status.cut_bytes}

    def told() -> bool:
        with urllib.request.urlopen(f"http://{metrics}/metrics") as response:
            text = response.read().decode()
        return all(
            f'trueband_journal_damaged_bytes{{kind="{kind}"}} {float(size)}' in text
            for kind, size in damage.items()
        )

    sidecar.until(told, "the metrics say it")
    assert cli.main(["status", "--address", sidecar.address]) == 0
    out = capsys.readouterr().out
    assert f"DAMAGED: {status.corrupt_bytes} bytes among acknowledged records" in out
    assert f"{status.cut_bytes} bytes of a write that never ended were cut off" in out
