"""`python -m training report`, as it is called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.decision.records import Artifact
from sidecar.policy import loading
from training import cli

MakeWorld = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TRUEBAND_POLICY", raising=False)


def report(url: str, *arguments: str) -> int:
    return cli.main(["report", "--ledger-url", url, *arguments])


def test_tables_by_default(counted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(counted.write()) == 0
    said = capsys.readouterr()
    assert "Model leads" in said.out
    assert "NOT SHOWN" in said.out
    assert said.err == ""


def test_json_takes_the_place_of_the_tables(counted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(counted.write(), "--json") == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["model"] == "leads"


def test_files(counted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, document = tmp_path / "report.html", tmp_path / "report.json"
    assert report(counted.write(), "--html", str(page), "--json", str(document), "--model", "leads") == 0
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(document.read_text())["schema"] == "trueband.report/1"
    assert "Model leads" in capsys.readouterr().out


def test_a_policy_file_takes_the_place_of_the_ledgers(
    counted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "version: 1\nmodels:\n  leads:\n    calibrator: models:/c@champion\n    evidence: score\n    bands:\n"
        "      - {name: auto, from: 0.9, action: AUTO_ROUTE, promise: {accuracy: 0.6}}\n"
        "      - {name: reject, from: 0.0, action: REJECT}\n"
        "  other: {calibrator: models:/o@champion, evidence: score}\n"
    )
    assert report(counted.write(), "--policy", str(policy), "--json") == 0
    leads, other = json.loads(capsys.readouterr().out)["models"]
    assert leads["versions"][0]["bands"][0]["verdict"]["finding"] == "SHOWN"
    assert other["versions"] == []


def test_a_policy_that_an_older_version_wrote_keeps_its_name_and_its_floors_bind(
    make_world: MakeWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world()
    old = '{"version": 1, "models": {"leads": {"calibrator": "models:/c@champion", "evidence": "score"}}}'
    floors = '{"version": 1, "mandatory_categories": ["Medical Advice"]}'
    named = {"policy_digest": loading.digest_of(old), "floors_digest": loading.digest_of(floors)}
    world.records = [
        Artifact(digest=named["policy_digest"], kind="policy", body=old),
        Artifact(digest=named["floors_digest"], kind="floors", body=floors),
    ]
    world.add(20, "auto", labels=[True] * 4, label={"true_category": "medical-advice"}, **named)
    assert report(world.write(), "--json") == 0
    given = json.loads(capsys.readouterr().out)
    assert {name: given[name] for name in named} == named
    (version,) = given["models"][0]["versions"]
    assert "medical_advice" in version["mandatory"]["categories"]
    assert version["mandatory"]["leak_rate"]["rate"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--since", "1d", "--until", "3d"), "REQUEST_REFUSED", "before it begins"),
        (("--as-of", "2999-01-01"), "REQUEST_REFUSED", "yet to come"),
        (("--as-of", "2001-01-01"), "NOT_ENOUGH_LABELS", "no decision"),
        (("--model", "nobody"), "NOT_ENOUGH_LABELS", "'nobody'"),
        (("--model", "leads", "--model", "nobody"), "REQUEST_REFUSED", "no model 'nobody'"),
        (("--policy", "/nonexistent.yaml"), "POLICY_REFUSED", "cannot be read"),
        (("--html", "/nonexistent/report.html"), "REQUEST_REFUSED", "cannot be written"),
        (("--json", "/nonexistent/report.json"), "REQUEST_REFUSED", "cannot be written"),
    ],
)
def test_refusals(
    counted: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str, words: str
) -> None:
    assert report(counted.write(), *arguments) == 2
    said = capsys.readouterr().err
    assert f"[{code}]" in said
    assert words in said


@pytest.mark.parametrize(
    ("flag", "text"), [("--since", "yesterday"), ("--until", "31.3.2027"), ("--as-of", "30"), ("--since", "")]
)
def test_what_is_no_time_is_refused(capsys: pytest.CaptureFixture[str], flag: str, text: str) -> None:
    with pytest.raises(SystemExit) as end:
        report("sqlite://", flag, text)
    assert end.value.code == 2
    assert f"argument {flag}: {text!r} is neither so long ago" in capsys.readouterr().err


def test_an_empty_ledger(make_world: MakeWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world()
    world.records = []
    url = world.write()
    assert report(url) == 2
    assert "[NOT_ENOUGH_LABELS]" in capsys.readouterr().err
    policy = tmp_path / "policy.yaml"
    policy.write_text(world.loaded.canonical)
    assert report(url, "--policy", str(policy)) == 0
    assert "No decision in the window." in capsys.readouterr().out
    assert report(f"sqlite:///{tmp_path}/nothing.db") == 2
    assert "[LEDGER_UNAVAILABLE]" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tracking_server_that_is_away_costs_the_report_only_if_it_was_asked_for(
    counted: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url = counted.write()
    assert report(url) == 0
    said = capsys.readouterr()
    assert "not logged to MLflow [REGISTRY_UNAVAILABLE]" in said.err
    assert "Model leads" in said.out
    assert report(url, "--mlflow") == 2
    assert "error [REGISTRY_UNAVAILABLE]" in capsys.readouterr().err
    assert report(url, "--no-mlflow") == 0
    assert capsys.readouterr().err == ""


def test_logged_to_mlflow(counted: Any, mlflow_registry: str, capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_registry)
    assert report(counted.write(), "--mlflow") == 0
    run_id = capsys.readouterr().err.rsplit(" ", 1)[1].strip()
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == "trueband-report"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["band/auto/accuracy"] == pytest.approx(0.9)
    assert run.data.metrics["band/auto/shown"] == 0.0
    assert run.data.params["policy_digest"] == counted.loaded.digest
    files = {each.path for each in client.list_artifacts(run_id)}
    assert files == {"report.html", "report.json", "reliability.png", "weekly.png"}
