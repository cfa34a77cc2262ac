"""The review queue of a real sidecar, at the terminal: keys through a pipe, tokens, and the death of the process."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import pty
import subprocess
import sys
import termios
import threading

import grpc
import pytest
from trueband.v1 import review_pb2, review_pb2_grpc

from sidecar import cli
from sidecar.commands import review

PEOPLE = {"ada": ("person", "reviewer"), "bob": ("person", "reviewer"), "crm": ("service", "caller")}


@pytest.fixture(scope="module")
def sidecar(make_shared_sidecar):
    made = make_shared_sidecar()
    made.write_calibrator()
    principals = [
        {
            "name": name,
            "kind": kind,
            "roles": [role],
            "token_sha256": hashlib.sha256(f"token of {name}".encode()).hexdigest(),
        }
        for name, (kind, role) in PEOPLE.items()
    ]
    principals.append(
        {
            "name": "ops",
            "kind": "person",
            "roles": ["operator", "auditor"],
            "token_sha256": hashlib.sha256(b"token of ops").hexdigest(),
        }
    )
    (made.home / "principals.json").write_text(json.dumps({"principals": principals}))
    made.start(TRUEBAND_PRINCIPALS=str(made.home / "principals.json"))
    return made


def run(sidecar, who, command, *flags, keys=""):
    """A command of the command line by somebody; its exit code, and all that it said."""
    token = sidecar.home / f"{who}.token"
    token.write_text(f"token of {who}\n")
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        patch.setattr(sys, "stdin", io.StringIO(keys))
        code = cli.main([command, "--address", sidecar.address, "--token-file", str(token), *flags])
    return code, said.getvalue()


def route(sidecar, score, category="general", who="crm"):
    code, said = run(
        sidecar, who, "route", "--json", "--model", "leads", "--predicted-class", "interested", "--category", category,
        "--score", str(score),
    )  # fmt: skip
    assert code == 0, said
    answer = json.loads(said)["decision"]
    metadata = (("authorization", "Bearer token of bob"),)
    stub = review_pb2_grpc.ReviewServiceStub(sidecar.channel)

    def arrived():
        request = review_pb2.ListTasksRequest(decision_id=answer["decision_id"])
        return stub.ListTasks(request, timeout=60, metadata=metadata).total

    sidecar.until(arrived, "the ledger has the task")
    return answer["decision_id"]


def explain(sidecar, decision_id):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.main(["explain", decision_id, "--data-dir", str(sidecar.data_dir)]) == 0
    return said.getvalue()


def outcome(sidecar, decision_id):
    stub = review_pb2_grpc.ReviewServiceStub(sidecar.channel)
    request = review_pb2.GetOutcomeRequest(decision_id=decision_id)
    told = stub.GetOutcome(request, timeout=60, metadata=(("authorization", "Bearer token of crm"),)).outcome
    return (
        review_pb2.OutcomeKind.Name(told.kind).removeprefix("OUTCOME_KIND_"),
        told.final_class,
        told.decided_by,
    )


def test_a_person_works_through_the_queue_by_keys(sidecar):
    first = route(sidecar, 0.6, "pricing")
    second = route(sidecar, 0.6)
    third = route(sidecar, 0.55)
    # release; unknown key, incorrect with the class, release that; incorrect without one, back, cannot tell, refuse
    keys = "c\nr\n" + "?\ni\nspam\nk\n" + "i\n\nb\nt\nx\n"
    code, said = run(sidecar, "ada", "review", keys=keys)
    assert code == 0, said
    assert outcome(sidecar, first) == ("RELEASED", "interested", "ada")
    assert outcome(sidecar, second) == ("CORRECTED", "spam", "ada")
    assert outcome(sidecar, third) == ("REFUSED", "", "ada")
    assert "HOLD, needs a person" in said
    assert "answer   interested   60.0% confident" in said
    assert "'?' is none of c, i, t, d, q" in said
    assert "nothing waits for you" in said
    assert said.strip().endswith("3 completed")
    told = explain(sidecar, second)
    assert f"decision    {second}: held; CORRECTED by ada at " in told
    assert "taken by ada" in told
    assert "judged by ada: INCORRECT, right is spam, RELEASE_CORRECTED" in told
    assert "outcome     CORRECTED by ada at " in told
    assert "spam may be acted on in its place" in told
    assert "told to   whoever asks for it as crm" in told
    assert "label       right is spam, so the answer was incorrect; from review by ada, REVIEW_TASK, " in told
    assert "counts in fits and in estimates, planned with probability 1" in told
    refused = explain(sidecar, third)
    assert f"decision    {third}: held; REFUSED by ada at " in refused
    assert "counts as no answer" in refused


def test_who_declines_is_done_with_it_and_who_quits_gives_it_back(sidecar):
    decision_id = route(sidecar, 0.6)
    code, said = run(sidecar, "ada", "review", keys="d\na friend of mine\n")
    assert (code, "nothing waits for you" in said) == (0, True)
    for keys in ("q\n", "", "i\n", "c\n"):
        code, said = run(sidecar, "bob", "review", keys=keys)
        assert (code, "0 completed" in said) == (0, True), said
    code, said = run(sidecar, "bob", "review", "--kind", "HOLD", "--explain", keys="c\nr\nlooks right\n")
    assert code == 0, said
    assert outcome(sidecar, decision_id) == ("RELEASED", "interested", "bob")


def test_filters_leave_the_rest_alone(sidecar):
    route(sidecar, 0.6)
    for flags in (("--kind", "ADJUDICATION"), ("--model", "other"), ("--category", "refunds")):
        code, said = run(sidecar, "ada", "review", *flags)
        assert (code, "nothing waits for you" in said) == (0, True), said
    assert run(sidecar, "ada", "review", keys="c\nx\n")[1].strip().endswith("1 completed")


def test_tokens_and_roles_are_told_to_the_command_line(sidecar, tmp_path):
    code, said = run(sidecar, "crm", "review")
    assert (code, "PERMISSION_DENIED" in said) == (2, True)
    code, said = run(sidecar, "nobody", "status")
    assert (code, "UNAUTHENTICATED" in said) == (2, True)
    assert run(sidecar, "ops", "status")[0] == 0
    (tmp_path / "empty").write_text(" \n")
    for path in (tmp_path / "missing", tmp_path / "empty"):
        code, said = run(sidecar, "ops", "status", "--token-file", str(path))
        assert (code, str(path) in said) == (2, True)


def test_the_token_may_come_from_the_environment_and_the_keys_through_a_pipe(sidecar):
    decision_id = route(sidecar, 0.6)
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "review", "--address", sidecar.address],
        input="c\nr\n",
        capture_output=True,
        text=True,
        env=dict(os.environ) | {"TRUEBAND_TOKEN": "token of ada"},
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert outcome(sidecar, decision_id) == ("RELEASED", "interested", "ada")


def test_a_lease_and_an_outcome_survive_kill_9(sidecar):
    decision_id = route(sidecar, 0.6)
    stub = review_pb2_grpc.ReviewServiceStub(sidecar.channel)
    metadata = (("authorization", "Bearer token of ada"),)
    (task,) = stub.LeaseTasks(review_pb2.LeaseTasksRequest(), timeout=60, metadata=metadata).tasks
    sidecar.kill()
    sidecar.start(TRUEBAND_PRINCIPALS=str(sidecar.home / "principals.json"))
    assert "nothing waits for you" in run(sidecar, "bob", "review")[1]
    stub = review_pb2_grpc.ReviewServiceStub(sidecar.channel)
    request = review_pb2.CompleteTaskRequest(
        task_id=task.task_id,
        fence=task.lease.fence,
        verdict=review_pb2.VERDICT_CORRECT,
        disposition=review_pb2.DISPOSITION_RELEASE,
    )
    assert not stub.CompleteTask(request, timeout=60, metadata=metadata).stale
    sidecar.kill()
    sidecar.start(TRUEBAND_PRINCIPALS=str(sidecar.home / "principals.json"))
    assert outcome(sidecar, decision_id) == ("RELEASED", "interested", "ada")


def test_a_stream_does_not_hold_up_the_stop(make_sidecar):
    made = make_sidecar()
    made.write_calibrator()
    made.start()
    answer = made.ask(0.6).decision
    stream = made.reviews.WatchDecision(
        review_pb2.WatchDecisionRequest(decision_id=answer.decision_id), timeout=120
    )
    assert next(stream).outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    made.signal(15)
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert made.wait() == 0


def test_a_bad_principals_file_is_no_start(make_sidecar):
    made = make_sidecar()
    made.write_calibrator()
    assert "principals" in made.refusal(TRUEBAND_PRINCIPALS="/nowhere/principals.yaml")
    (made.home / "p.yaml").write_text("principals: [{name: ada}]")
    assert "principals.0.kind" in made.refusal("--principals", str(made.home / "p.yaml"))


def test_an_expired_hold_is_told(make_sidecar):
    made = make_sidecar(
        "version: 1\nmodels:\n  leads: {{calibrator: 'file:{home}/leads.json', evidence: score}}\n"
        "review: {{hold_due: 1s, expire_after: {{HOLD: 1s}}}}\n"
    )
    made.write_calibrator()
    made.start()
    answer = made.ask(0.6).decision
    stream = made.reviews.WatchDecision(
        review_pb2.WatchDecisionRequest(decision_id=answer.decision_id), timeout=120
    )
    assert [each.outcome.kind for each in stream] == [
        review_pb2.OUTCOME_KIND_PENDING,
        review_pb2.OUTCOME_KIND_EXPIRED,
    ]


def test_what_a_caller_wrote_cannot_steer_the_terminal():
    task = review_pb2.Task(
        task_id="t",
        kind="TASK_KIND_ADJUDICATION",
        origin_kind="TASK_KIND_HOLD",
        model="\x1b]0;owned\x07m",
        predicted_class="\x1b[2Jyes",
        context={"mail\x1b[1m": "hello\r\n\x1b[31mred\x9b", "empty": ""},
        blind=False,
    )
    task.due_at.seconds = 1000
    shown = "\n".join(review.lines(task, now=1000 + 3 * 86400))
    assert "ADJUDICATION of HOLD, OVERDUE by 3 d 0 h" in shown
    assert "hello" in shown
    assert all(each.isprintable() or each == "\n" for each in shown)


def test_a_blind_task_says_so():
    task = review_pb2.Task(task_id="t", kind="TASK_KIND_HOLD", blind=True)
    assert "answer   hidden" in "\n".join(review.lines(task, now=0))


def test_at_a_terminal_one_key_is_enough(capsys):
    master, slave = pty.openpty()

    def press(*keys, until):
        """Again and again: what was typed ahead of the question is dropped, lest it be a verdict."""

        def repeat():
            pressed = itertools.cycle(keys)
            while not until.wait(0.05):
                os.write(master, next(pressed))

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        return thread

    with os.fdopen(slave, "r", encoding="utf-8") as source:
        before = termios.tcgetattr(slave)
        for keys, expected in (((b"C",), "c"), ((b"z", b"\x04"), None), ((b"\x04",), None)):
            answered = threading.Event()
            prompt = review.Prompt(source)
            typist = press(*keys, until=answered)
            assert prompt.key({"c": "correct"}) == expected
            answered.set()
            typist.join()
            assert termios.tcgetattr(slave) == before
    os.close(master)
    assert "'z' is none of c" in capsys.readouterr().out
