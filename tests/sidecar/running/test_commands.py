"""`python -m sidecar`, typed by hand: what it prints, its exit code, and never a traceback."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar import cli
from sidecar.ledger import schema

Capture = pytest.CaptureFixture[str]
GOOD = """
version: 1
models:
  leads: {calibrator: "file:leads.json", evidence: score, categories: {general: {}}}
"""
VECTORS = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
    categories: {{general: {{}}, pricing: {{mandatory_review: true}}}}
  binary: {{calibrator: "file:{home}/binary.json", evidence: positive_probability, classes: [ham, spam]}}
  shares: {{calibrator: "file:{home}/shares.json", evidence: probabilities, classes: [a, b, c]}}
  vectors: {{calibrator: "file:{home}/vectors.json", evidence: logits, classes: [a, b, c]}}
  writer: {{calibrator: "file:{home}/writer.json", evidence: token_logprobs}}
"""


@pytest.fixture(scope="module")
def sidecar(make_shared_sidecar) -> Iterator[Any]:
    made = make_shared_sidecar(VECTORS)
    made.write_calibrator()
    made.write_calibrator(model="binary", evidence="positive_probability")
    for model, evidence in (("shares", "probabilities"), ("vectors", "logits")):
        made.write_calibrator(model=model, evidence=evidence)
    made.write_calibrator(model="writer", evidence="token_logprobs", aggregation="mean")
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fresh shell."""
    for name in [name for name in os.environ if name.startswith("TRUEBAND_")]:
        monkeypatch.delenv(name)


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and error output of one command."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:  # how argparse says that it does not understand
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def route(capsys: Capture, sidecar: Any, *arguments: object) -> dict[str, Any]:
    code, out, err = run(capsys, "route", "--json", "--address", sidecar.address, *arguments)
    assert (code, err) == (0, "")
    return dict(json.loads(out))


@pytest.mark.slow
@pytest.mark.process
def test_as_a_process_it_has_an_exit_code_and_no_traceback(tmp_path) -> None:
    def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sidecar", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    (tmp_path / "policy.yaml").write_text(GOOD)
    good = typed("check", "policy.yaml")
    assert (good.returncode, good.stderr) == (0, "")
    bad = typed("check", "nothing.yaml")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error [POLICY_REFUSED]: nothing.yaml")
    assert bad.stderr.count("\n") == 1
    # Whose reader goes away early is not in error, as in `python -m sidecar check --schema | head -1`.
    piped = f"{sys.executable} -m sidecar check --schema | head -1"
    first = subprocess.run(piped, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert first.stdout == "{\n"
    assert "Traceback" not in first.stderr


def test_help_names_every_command_and_setting(capsys: Capture) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(
        command in out for command in ("serve", "check", "spec", "route", "label", "status", "explain")
    )
    code, out, _ = run(capsys, "serve", "--help")
    assert code == 0
    assert all(name in out for name in ("TRUEBAND_LISTEN", "TRUEBAND_AUDIT_KEYS", "MLFLOW_TRACKING_URI"))
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("trueband ")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("guess",),
        ("route",),
        ("route", "--model", "leads"),
        ("route", "--model", "leads", "--score", "high"),
        ("route", "--model", "leads", "--score", "0.9", "--logits", "1,2"),
        ("route", "--model", "leads", "--probabilities", "0.5;0.5"),
        ("label", "some-decision"),
        ("label", "some-decision", "--correct", "--incorrect"),
        ("explain",),
        ("serve", "--log-level", "loud"),
        ("serve", "--poll-interval", "soon"),
    ],
)
def test_what_it_does_not_understand_is_explained(capsys: Capture, arguments: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: trueband-sidecar" in err
    assert "error: " in err


def test_serve_needs_a_policy(capsys: Capture, tmp_path) -> None:
    code, _, err = run(capsys, "serve", "--data-dir", tmp_path)
    assert code == 2
    assert err == "error [SETTINGS_REFUSED]: --policy (or TRUEBAND_POLICY): is required\n"


def test_check_proves_a_policy_or_names_its_mistakes(capsys: Capture, tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(GOOD)
    code, out, err = run(capsys, "check", policy)
    assert (code, err) == (0, "")
    assert "leads: " in out
    assert "every one of them ends with a person" in out
    assert "good, digest sha256:" in out

    policy.write_text(GOOD.replace("evidence: score", "evidence: logits, colour: red"))
    code, out, err = run(capsys, "check", policy)
    assert (code, out) == (2, "")
    assert "error [POLICY_REFUSED]: " in err
    assert "models.leads.colour" in err
    for text in ("", "a: [", "\0", "version: 2\nmodels: {}", "models: {a: *nowhere}"):
        policy.write_text(text)
        code, out, err = run(capsys, "check", policy)
        assert (code, out) == (2, "")
        assert err.startswith(f"error [POLICY_REFUSED]: {policy}")
    policy.write_bytes(b"\xff\xfe")
    assert run(capsys, "check", policy)[0] == 2
    assert run(capsys, "check", tmp_path)[0] == 2
    assert run(capsys, "check")[0] == 2

    code, out, _ = run(capsys, "check", "--schema")
    assert code == 0
    assert json.loads(out)["properties"]["models"]


def test_spec_writes_the_document(capsys: Capture, tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(GOOD)
    code, out, err = run(capsys, "spec", policy)
    assert (code, err) == (0, "")
    assert out.startswith("# ")
    assert all(word in out for word in ("leads", "AUTO_ROUTE", "HOLD_FOR_REVIEW", "pricing"))
    policy.write_text("version: 1")
    code, out, err = run(capsys, "spec", policy)
    assert (code, out) == (2, "")
    assert "models" in err


def test_route_prints_the_decision_with_may_act_first(capsys: Capture, sidecar) -> None:
    answer = route(
        capsys,
        sidecar,
        *("--model", "leads", "--score", "0.95", "--category", "General", "--predicted-class", "interested"),
        *("--request-id", "r1", "--subject-ref", "s1", "--tenant", "t"),
    )
    assert next(iter(answer)) == "may_act"
    assert answer["may_act"] is True
    decision = answer["decision"]
    assert decision["action"] == "ACTION_AUTO_ROUTE"
    assert (decision["tenant"], decision["subject_ref"]) == ("t", "s1")
    held = route(capsys, sidecar, "--model", "leads", "--score", "0.99", "--category", "pricing")
    assert held["may_act"] is False
    shadow = route(
        capsys, sidecar, "--model", "leads", "--score", "1", "--category", "general", "--intent", "shadow"
    )
    assert (shadow["may_act"], shadow["decision"]["intent"]) == (False, "INTENT_SHADOW")


def test_route_says_in_a_few_lines_what_may_happen_and_why(capsys: Capture, sidecar) -> None:
    at = ("route", "--address", sidecar.address, "--model", "leads", "--predicted-class", "interested")
    code, out, _ = run(capsys, *at, "--score", "0.95", "--category", "general")
    assert code == 0
    assert out.startswith("MAY ACT: AUTO_ROUTE on interested\nbecause     BAND\n")
    code, out, _ = run(capsys, *at, "--score", "0.95", "--category", "pricing")
    assert code == 0
    assert out.startswith("MAY NOT ACT: HOLD_FOR_REVIEW on interested\nbecause     BAND, MANDATORY_REVIEW\n")
    assert "floor       mandatory_category:pricing permits only" in out
    assert "confidence  raw 0.950000, calibrated 0.950000, band auto" in out


def test_route_sends_all_that_a_request_can_hold(capsys: Capture, sidecar) -> None:
    decision = route(
        capsys,
        sidecar,
        *("--model", "leads", "--score", "0.6", "--predicted-class", "interested", "--category", "general"),
        *("--category-source", "model", "--group-key", "g1", "--answer-digest", "sha256:00", "--tenant", "t"),
        *("--attribute", "amount=-12.5", "--attribute", "vip=true", "--attribute", 'zip="0123"'),
        *(
            "--attribute",
            "note=not json",
            "--context",
            "letter=Dear Sir = Madam",
            "--occurred-at",
            "2027-03-31",
        ),
    )["decision"]
    sidecar.caught_up()
    with contextlib.closing(
        sqlite3.connect(f"file:{sidecar.data_dir}/ledger.db?mode=ro", uri=True)
    ) as ledger:
        (body,) = ledger.execute(
            "SELECT body FROM answers WHERE answer_id = ?", (schema.packed(decision["answer_id"]),)
        ).fetchone()
    query = json.loads(body)["query"]
    assert query["attributes"] == {"amount": -12.5, "vip": True, "zip": "0123", "note": "not json"}
    assert query["context"] == {"letter": "Dear Sir = Madam"}
    assert (query["group_key"], query["answer_digest"]) == ("g1", "sha256:00")
    assert query["occurred_at"] == 1806451200.0


@pytest.mark.parametrize(
    "stray",
    [
        ("--positive-class", "spam"),
        ("--answer-end", "3"),
        ("--attribute", "a=1", "--attribute", "a=2"),
        ("--context", "nothing"),
    ],
)
def test_route_refuses_what_it_would_not_send(capsys: Capture, stray) -> None:
    code, out, err = run(capsys, "route", "--model", "leads", "--score", "0.5", *stray)
    assert (code, out) == (2, "")
    assert stray[0] in err


@pytest.mark.parametrize(
    ("model", "evidence", "final"),
    [
        ("binary", ("--positive-probability", "0.02"), "ham"),
        ("binary", ("--positive-probability", "0.02", "--positive-class", "ham"), "spam"),
        ("shares", ("--probabilities", "0.01,0.98,0.01"), "b"),
        ("vectors", ("--logits", "-1,0.5,9"), "c"),
        ("writer", ("--token-logprobs", "-0.01,-0.02"), ""),
        ("writer", ("--token-logprobs", "-9,-0.01,-9", "--answer-start", "1", "--answer-end", "2"), ""),
    ],
)
def test_route_takes_every_kind_of_evidence(capsys: Capture, sidecar, model, evidence, final) -> None:
    answer = route(capsys, sidecar, "--model", model, *evidence)
    assert answer["may_act"] is True
    assert answer["decision"].get("final_class", "") == final


def test_what_a_sidecar_refuses_is_one_line_and_exit_code_2(capsys: Capture, sidecar) -> None:
    at = ("route", "--address", sidecar.address)
    code, out, err = run(capsys, *at, "--model", "leads", "--score", "nan")
    assert (code, out) == (2, "")
    assert err.startswith("error [CALL_FAILED]: INVALID_ARGUMENT: evidence.score.confidence: ")
    assert err.count("\n") == 1
    code, _, err = run(capsys, *at, "--model", "nobody", "--score", "0.5")
    assert code == 2
    assert "NOT_FOUND" in err
    assert "the policy has no model 'nobody'" in err
    assert "leads" not in err, "which models there are is not for everybody"


def test_nobody_there_says_how_to_start_one(capsys: Capture, free_port, tmp_path) -> None:
    for address in (f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/none"):
        for command in (
            ("status",),
            ("route", "--model", "leads", "--score", "0.5"),
            ("label", "d", "--correct"),
        ):
            code, out, err = run(capsys, command[0], "--address", address, *command[1:])
            assert (code, out) == (2, "")
            assert f"nothing answers at {address}; start one with `trueband-sidecar serve`" in err


def test_the_address_comes_from_the_environment(capsys: Capture, sidecar, monkeypatch) -> None:
    for name in ("TRUEBAND_LISTEN", "TRUEBAND_ADDRESS"):
        monkeypatch.setenv(name, sidecar.address)
        code, out, _ = run(capsys, "route", "--model", "leads", "--score", "0.95", "--category", "general")
        assert code == 0
        assert out.startswith("MAY ACT: AUTO_ROUTE")
        monkeypatch.setenv(
            "TRUEBAND_LISTEN", "unix:/nowhere"
        )  # what clients are told wins over what servers are


def test_label_says_what_became_of_it(capsys: Capture, sidecar) -> None:
    decision_id = route(capsys, sidecar, "--model", "leads", "--score", "0.6")["decision"]["decision_id"]
    at = ("label", "--address", sidecar.address, decision_id)
    code, out, _ = run(capsys, *at, "--correct", "--event-id", "e1")
    assert (code, out.splitlines()[0]) == (0, "ACCEPTED (source command-line, event e1)")
    assert "counts in fits alone" in out
    assert run(capsys, *at, "--correct", "--event-id", "e1")[:2] == (
        0,
        "DUPLICATE (source command-line, event e1)\n",
    )
    code, out, _ = run(capsys, *at, "--incorrect", "--event-id", "e1")
    assert code == 1
    assert out.startswith("REJECTED: EVENT_ID_REUSED")
    assert run(capsys, *at, "--true-class", "not_now", "--note", "by phone")[0] == 0
    code, out, _ = run(capsys, *at, "--cannot-tell")
    assert code == 0
    assert "counts as no answer" in out
    assert "there is no task 'made-up'" in run(capsys, *at, "--correct", "--task-id", "made-up")[1]
    code, _, err = run(capsys, *at, "--true-class", "")
    assert code == 2
    assert "label.true_class" in err


def test_a_label_for_a_mistyped_decision_comes_with_a_warning(capsys: Capture, sidecar) -> None:
    decision_id = route(capsys, sidecar, "--model", "leads", "--score", "0.6")["decision"]["decision_id"]
    sidecar.caught_up()
    known, mistyped = (
        run(capsys, "label", "--address", sidecar.address, each, "--correct")
        for each in (decision_id, decision_id + "0")
    )
    assert (known[0], known[2]) == (0, "")
    assert mistyped[1].startswith("ACCEPTED")
    assert f"shows you no decision '{decision_id}0'" in mistyped[2]


def test_status_says_what_is_in_force_and_what_is_not(capsys: Capture, sidecar, make_sidecar) -> None:
    code, out, _ = run(capsys, "status", "--address", sidecar.address)
    assert code == 0
    assert out.startswith("SERVING since ")
    assert "calibrator  leads: identity, " in out
    assert "mandatory decisions without a person: 0" in out
    code, out, _ = run(capsys, "status", "--address", sidecar.address, "--json", "--reload")
    assert code == 0
    assert json.loads(out)["serving"] is True

    unready = make_sidecar(TRUEBAND_READY_WITHOUT_CALIBRATOR="false")
    unready.start(serving=False)
    unready.until(lambda: unready.health("liveness") == "SERVING", "the process")
    code, out, _ = run(capsys, "status", "--address", unready.address, "--reload")
    assert code == 1
    assert out.startswith("NOT SERVING since ")
    assert "calibrator  leads: NONE from file:" in out
    assert "[FILE_UNREADABLE]" in out
    unready.write_policy("models: [")
    code, out, _ = run(capsys, "status", "--address", unready.address, "--reload")
    assert "REFUSED CHANGE: " in out


def test_explain_tells_why_and_recomputes(capsys: Capture, sidecar) -> None:
    answer = route(capsys, sidecar, "--model", "leads", "--score", "0.97", "--category", "pricing")
    decision_id = answer["decision"]["decision_id"]
    run(capsys, "label", "--address", sidecar.address, decision_id, "--incorrect")
    sidecar.caught_up()
    at = ("explain", decision_id, "--data-dir", sidecar.data_dir)
    code, out, _ = run(capsys, *at)
    assert code == 0
    assert f"decision    {decision_id}: held; waits for a person" in out
    assert "floor     mandatory_category:pricing" in out
    assert "label       incorrect; from command-line, VOLUNTEERED, " in out
    assert "counts in fits alone" in out
    assert "HOLD, needs a person, OPEN" in out
    code, out, _ = run(capsys, *at, "--recompute")
    assert code == 0
    assert "1 of 1 answers agree bit for bit" in out
    url = f"sqlite:///{sidecar.data_dir / 'ledger.db'}"
    assert run(capsys, "explain", decision_id, "--recompute", "--ledger-url", url)[0] == 0

    code, out, err = run(capsys, "explain", "no-such-id", "--data-dir", sidecar.data_dir)
    assert (code, out) == (2, "")
    assert "no decision 'no-such-id'" in err
    code, _, err = run(capsys, "explain", decision_id, "--data-dir", sidecar.home / "nowhere")
    assert code == 2
    assert "there is no ledger at" in err
    for url in ("nonsense", "sqlite://", "mysql://host/db"):
        assert run(capsys, "explain", decision_id, "--ledger-url", url)[0] == 2


def test_explain_says_where_a_stored_decision_was_tampered_with(capsys: Capture, sidecar, tmp_path) -> None:
    answer = route(capsys, sidecar, "--model", "leads", "--score", "0.97", "--category", "general")
    decision_id = answer["decision"]["decision_id"]
    sidecar.caught_up()
    copy = tmp_path / "tampered.db"
    with (
        contextlib.closing(sqlite3.connect(f"file:{sidecar.data_dir}/ledger.db?mode=ro", uri=True)) as real,
        contextlib.closing(sqlite3.connect(copy)) as forged,
    ):
        real.backup(forged)
        forge = "UPDATE answers SET body = replace(body, '0.97', '0.6') WHERE decision_id = ?"
        assert forged.execute(forge, (schema.packed(decision_id),)).rowcount == 1
        forged.commit()
    code, out, _ = run(capsys, "explain", decision_id, "--recompute", "--ledger-url", f"sqlite:///{copy}")
    assert code == 1
    assert "RECOMPUTED DIFFERENTLY" in out
    assert "action: answered " in out
