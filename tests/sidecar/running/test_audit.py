"""Audits in a running service: a week that is over is closed, sampled and reviewed, and recomputes from the keys."""

import json
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from trueband.v1 import decision_pb2, label_pb2, review_pb2

from calibrators import document
from sidecar import cli
from sidecar.decision import audit
from sidecar.decision.records import Artifact
from sidecar.ledger import intake, schema
from sidecar.ledger.store import Ledger
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: file:{home}/leads.json
    evidence: score
    categories: {{general: {{}}}}
    bands:
      - {{name: auto, from: 0.9, action: AUTO_ROUTE, audit_rate: 0.5, audit_budget: 3}}
      - {{name: reject, from: 0, action: REJECT, audit_rate: 1.0}}
"""
KEYS = f"k1:{bytes(range(32, 64)).hex()},k2:{bytes(range(64, 96)).hex()}"  # as the router of the fixtures has
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRUEBAND_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def sidecar(make_shared_sidecar) -> Iterator[Any]:
    """A service that starts over a ledger with 30 decisions of a week that is long over."""
    made = make_shared_sidecar(POLICY, TRUEBAND_AUDIT_KEYS=KEYS)
    made.write_calibrator(model="lead-classifier", name="leads")
    made.data_dir.mkdir(parents=True, mode=0o700)
    past = services.bare(POLICY.format(home=made.home))
    for number in range(30):
        past.router.route(builders.query(0.95, request_id=f"r-{number}", subject_ref="s"))
    for number in range(4):
        past.router.route(builders.query(0.1, request_id=f"rejected-{number}"))
    loaded = past.snapshot.policy.loaded
    (held,) = past.snapshot.calibrators.values()
    artifacts = [
        Artifact(digest=loaded.digest, kind="policy", body=loaded.canonical),
        Artifact(digest=held.calibrator.digest, kind="calibrator", body=document.dumps(held.calibrator)),
    ]
    with Ledger(f"sqlite:///{made.data_dir / 'ledger.db'}") as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [*artifacts, *past.journal.decisions])
    made.start()
    made.until(lambda: made.events("audit_period_closed"), "the period is closed")
    made.drawn = [
        each.decision_id for each in past.journal.decisions if each.drawn and each.verdict.audit_budget
    ]
    yield made
    assert made.stop() == 0


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def audits(sidecar: Any) -> list[review_pb2.Task]:
    asked = review_pb2.ListTasksRequest(kinds=[review_pb2.TASK_KIND_AUDIT], page_size=100)
    return list(sidecar.reviews.ListTasks(asked, timeout=60).tasks)


def test_the_sample_becomes_tasks_and_is_the_smallest_draws(sidecar) -> None:
    (closed,) = sidecar.events("audit_period_closed")
    assert (closed["decisions"], closed["drawn"], closed["sampled"]) == (30, len(sidecar.drawn), 3)
    sampled = {task.decision_id for task in audits(sidecar)} & set(sidecar.drawn)
    assert len(sampled) == 3 < len(sidecar.drawn)


def test_the_caller_sees_neither_draw_nor_budget(sidecar) -> None:
    answer = sidecar.ask(0.95, model="lead-classifier", request_id="now")
    told = [json_format.MessageToDict(answer)]
    one = decision_pb2.GetDecisionRequest(decision_id=sidecar.drawn[0])
    told.append(json_format.MessageToDict(sidecar.decisions.GetDecision(one, timeout=60)))
    listed = sidecar.decisions.ListDecisions(decision_pb2.ListDecisionsRequest(subject_ref="s"), timeout=60)
    told.append(json_format.MessageToDict(listed))
    text = json.dumps(told).lower()
    assert sidecar.drawn[0] in text
    for word in ("draw", "audit", "budget", "tau"):
        assert word not in text


def test_an_auditor_lists_and_recomputes(
    sidecar, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (task, *_) = [task for task in audits(sidecar) if task.decision_id in sidecar.drawn]
    label = label_pb2.Label(
        decision_id=task.decision_id, source="auditor", event_id="1", correct=True, task_id=task.task_id,
        channel=label_pb2.LABEL_CHANNEL_AUDIT_TASK,
    )  # fmt: skip
    sidecar.labels.RecordLabel(label_pb2.RecordLabelRequest(label=label), timeout=60)
    sidecar.caught_up()
    at = ("--data-dir", sidecar.data_dir)
    code, out, err = run(capsys, "audit", "--week", "2026-W06", *at)
    assert (code, err) == (0, "")
    header, *rows = [line.split() for line in out.splitlines()]
    table = {row[4]: dict(zip(header, row, strict=True)) for row in rows}
    assert table["auto"] | {"tau": ""} == {
        "week": "2026-W06", "model": "lead-classifier", "version": "-", "source": "primary", "band": "auto",
        "action": "AUTO_ROUTE", "rate": "0.5", "budget": "3", "N": "30", "drawn": str(len(sidecar.drawn)),
        "sampled": "3", "tau": "", "tasks": "3", "done": "1", "late": "0",
    }  # fmt: skip
    assert 0.0 < float(table["auto"]["tau"]) < 0.5
    assert [table["reject"][name] for name in ("budget", "N", "drawn", "sampled", "tau", "tasks")] == [
        "-", "4", "4", "4", "1", "4",
    ]  # fmt: skip

    # Without the keys nothing is proven; with them all is.
    url = ("--ledger-url", f"sqlite:///{sidecar.data_dir / 'ledger.db'}")
    code, out, err = run(capsys, "audit", "--recompute", *url, "--data-dir", tmp_path)
    assert (code, out) == (2, "")
    assert "there is no audit key to draw again with: set TRUEBAND_AUDIT_KEYS" in err
    monkeypatch.setenv("TRUEBAND_AUDIT_KEYS", KEYS)
    code, out, _ = run(capsys, "audit", "--recompute", "--week", "2026-W06", *at)
    assert code == 0
    assert "drawn again: 34 of 34 draws agree, and every closed sample is the one that the keys give" in out
    monkeypatch.setenv("TRUEBAND_AUDIT_KEYS", KEYS.split(",")[0])
    code, out, _ = run(capsys, "audit", "--recompute", "--week", "2026-W06", *at)
    assert code == 1
    assert "34 of 34 draws cannot be made again: their keys are not in TRUEBAND_AUDIT_KEYS" in out
    assert list(tmp_path.iterdir()) == [], "who only reads makes no keys"


def test_one_decision_is_explained_and_drawn_again(
    sidecar, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--recompute", "--data-dir", sidecar.data_dir)
    sampled = next(task.decision_id for task in audits(sidecar) if task.decision_id in sidecar.drawn)
    left_out = next(each for each in sidecar.drawn if each not in {t.decision_id for t in audits(sidecar)})
    code, out, _ = run(capsys, "explain", sampled, *at)
    assert code == 0
    assert "not drawn again: no audit key k2" in out
    monkeypatch.setenv("TRUEBAND_AUDIT_KEYS", KEYS)
    for decision_id, says in (
        (sampled, "in the sample, with inclusion probability"),
        (left_out, "not in the sample"),
    ):
        code, out, _ = run(capsys, "explain", decision_id, *at)
        assert code == 0
        assert (
            f"week 2026-W06, at most 3 of what is drawn; closed with 3 of {len(sidecar.drawn)}, tau 0." in out
        )
        assert says in out
        assert "1 of 1 answers agree bit for bit" in out
        assert "not drawn again" not in out
    assert (
        not (sidecar.data_dir / "keys.json").exists()
        or "k2" not in (sidecar.data_dir / "keys.json").read_text()
    )


def test_what_was_tampered_with_is_found(
    sidecar, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("TRUEBAND_AUDIT_KEYS", KEYS)
    left_out = next(each for each in sidecar.drawn if each not in {t.decision_id for t in audits(sidecar)})
    copy = tmp_path / "ledger.db"
    with sidecar.ledger() as snapshot:
        path = snapshot._engine.url.database
        origin, target = sqlite3.connect(path), sqlite3.connect(copy)
        origin.backup(target)
        origin.close()
    target.execute("UPDATE audit_members SET draw = 0.0 WHERE decision_id = ?", (schema.packed(left_out),))
    target.commit()
    target.close()
    code, out, _ = run(capsys, "audit", "--recompute", "--ledger-url", f"sqlite:///{copy}")
    assert code == 1
    assert f"DISAGREES  2026-W06 lead-classifier auto: decision {left_out}: the recorded draw is 0.0" in out
    assert "drawn again" not in out
    code, out, _ = run(capsys, "explain", left_out, "--recompute", "--ledger-url", f"sqlite:///{copy}")
    assert code == 0, "the record of the decision itself is what it was"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--week", "2026-W54"), "is no week: write the ISO year and week, such as 2026-W47"),
        (("--week", "last"), "is no week"),
        (("--data-dir", "nowhere"), "there is no ledger at"),
        (("--ledger-url", "nonsense"), "understood"),
        (("extra",), "unrecognized arguments"),
    ],
)
def test_wrong_input_is_named(capsys: Capture, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run(capsys, "audit", *arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_an_empty_answer_says_why(sidecar, capsys: Capture) -> None:
    code, out, _ = run(capsys, "audit", "--week", "2001-W01", "--data-dir", sidecar.data_dir)
    assert code == 0
    assert "nothing could have been drawn" in out
    assert audit.week_start("2001-W01") < audit.week_start("2026-W06")
