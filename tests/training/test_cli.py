import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import calibrators
from training import cli
from training.data.dataset import Dataset

Simulate = Callable[..., Dataset]


@pytest.fixture
def labelled(simulate: Simulate, tmp_path: Path) -> Path:
    """2,000 overconfident scores as CSV, in groups of two."""
    data = simulate(2000, seed=1, stretch=3.0)
    path = tmp_path / "labels.csv"
    rows = [
        f"{score!r},{label:.0f},{row // 2}"
        for row, (score, label) in enumerate(zip(data.scores.tolist(), data.correct, strict=True))
    ]
    path.write_text("score,correct,item\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def logits(tmp_path: Path) -> Path:
    """1,000 logit vectors that are three times too sure."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(0.0, 2.0, (1000, 4))
    chances = np.exp(vectors) / np.exp(vectors).sum(axis=1, keepdims=True)
    labels = [rng.choice(4, p=row) for row in chances]
    np.savez(tmp_path / "logits.npz", logits=3.0 * vectors, labels=labels)
    return tmp_path / "logits.npz"


def fit(source: Path, *flags: str) -> tuple[int, Path]:
    out = source.parent / "cal.json"
    return cli.main(["fit", "--from-file", str(source), "--out", str(out), *flags]), out


def test_fit_then_evaluate(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = fit(labelled, "--group-column", "item")
    printed = capsys.readouterr().out
    assert code == 0
    calibrator = calibrators.loads(out.read_text())
    assert calibrator.kind == "temperature"
    assert calibrator.applies_to is None
    assert calibrator.fit is not None
    assert (calibrator.fit.n, calibrator.fit.distinct) == (2000, 2000)
    assert calibrator.histogram is not None
    assert calibrator.digest in printed
    assert "Chosen: temperature" in printed
    assert "out of fold" in printed
    assert "10000 are needed" in printed.replace("\n", " ")
    assert not list(labelled.parent.glob(".*draft"))

    arguments = ["evaluate", "--calibrator", str(out), "--from-file", str(labelled), "--group-column", "item"]
    assert cli.main([*arguments, "--json"]) == 0
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    document = json.loads(written)
    assert (document["n"], document["n_eff"]) == (2000, pytest.approx(2000.0))
    assert 0.5 < document["accuracy"] < 1.0
    measures = {"log_loss", "brier", "ece", "ece_interval", "mce", "ace", "mcb", "dsc", "unc"}
    assert set(document["raw"]) == set(document["calibrated"]) == measures
    assert document["calibrated"]["log_loss"] < document["raw"]["log_loss"]
    assert document["calibrated"]["ece_interval"][1] < document["raw"]["ece_interval"][0]
    assert document["calibrator"] == {"kind": "temperature", "digest": calibrator.digest}
    assert any("very labels" in note for note in document["notes"])

    assert cli.main(arguments) == 0
    table = capsys.readouterr().out
    assert f"{document['calibrated']['log_loss']:.5f}" in table
    assert "netcal's" in table


def test_evaluate_by_weight_says_that_netcal_cannot(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = fit(labelled)
    lines = labelled.read_text().splitlines()
    lines[1:] = [f"{line},{1 + row % 3}" for row, line in enumerate(lines[1:])]
    labelled.write_text("\n".join([lines[0] + ",w", *lines[1:]]))
    capsys.readouterr()
    flags = ["--from-file", str(labelled), "--weight-column", "w", "--json"]
    assert cli.main(["evaluate", "--calibrator", str(out), *flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n_eff"] < document["n"]
    assert any("netcal cannot weight" in note for note in document["notes"])
    assert not any("very labels" in note for note in document["notes"])


@pytest.mark.parametrize("kind", ["identity", "temperature", "platt", "beta", "isotonic"])
def test_a_kind_can_be_asked_for(labelled: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = fit(labelled, "--kind", kind)
    assert code == 0
    assert calibrators.loads(out.read_text()).kind == kind
    assert "asked for" in capsys.readouterr().out


def test_logits_are_fitted_as_vectors_unless_one_score_is_served(logits: Path) -> None:
    target = ("--model", "m", "--any-version")
    _, out = fit(logits, *target)
    vector = calibrators.loads(out.read_text())
    assert vector.takes_vector
    assert vector.applies_to == calibrators.AppliesTo(
        model="m", model_versions=None, evidence="logits", answer="argmax"
    )
    _, out = fit(logits, *target, "--evidence", "probabilities")
    assert calibrators.loads(out.read_text()).takes_vector
    _, out = fit(logits, *target, "--evidence", "score")
    scalar = calibrators.loads(out.read_text())
    assert not scalar.takes_vector
    assert scalar.applies_to is not None
    assert (scalar.applies_to.evidence, scalar.applies_to.answer) == ("score", "argmax")


def test_what_it_may_serve_goes_into_the_document(labelled: Path) -> None:
    flags = ("--model", "llm", "--model-version", "7", "8", "--model-version", "9")
    flags += ("--evidence", "token_logprobs", "--aggregation", "min", "--criterion", "helpful")
    code, out = fit(labelled, *flags)
    assert code == 0
    assert calibrators.loads(out.read_text()).applies_to == calibrators.AppliesTo(
        model="llm",
        model_versions=("7", "8", "9"),
        evidence="token_logprobs",
        aggregation="min",
        criterion="helpful",
    )


def test_positive_scores_serve_positive_probability(labelled: Path) -> None:
    code, out = fit(labelled, "--score-is", "positive", "--model", "m", "--any-version")
    assert code == 0
    applies = calibrators.loads(out.read_text()).applies_to
    assert applies is not None
    assert (applies.evidence, applies.answer) == ("positive_probability", "argmax")


def test_the_seed_makes_it_repeatable(labelled: Path) -> None:
    _, out = fit(labelled, "--seed", "3")
    first = out.read_bytes()
    _, out = fit(labelled, "--seed", "3")
    assert out.read_bytes() == first


def test_too_few_labels_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "few.csv"
    path.write_text("score,correct\n" + "0.9,1\n0.4,0\n" * 5)
    code, out = fit(path)
    printed = capsys.readouterr().out
    assert code == 0
    assert calibrators.loads(out.read_text()).kind == "identity"
    assert "10 effective labels, 30 are needed" in printed


def test_an_uninformative_score_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    scores = rng.uniform(0.5, 0.99, 1000)
    np.savez(tmp_path / "a.npz", scores=scores, labels=(rng.random(1000) < 1.3 - scores).astype(int))
    assert fit(tmp_path / "a.npz")[0] == 0
    assert "Warning: the score is uninformative" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--score-column", "p"], "DATA_REFUSED", "no column 'p'"),
        (["--register", "r"], "REQUEST_REFUSED", "--model, --evidence, --model-version or --any-version"),
        (["--register", "r", "--model", "m", "--any-version"], "REQUEST_REFUSED", "also needs --evidence"),
        (["--alias", "champion"], "REQUEST_REFUSED", "--alias goes with --register"),
        (["--model", "m"], "REQUEST_REFUSED", "--any-version"),
        (["--any-version"], "REQUEST_REFUSED", "--model"),
        (["--aggregation", "mean"], "REQUEST_REFUSED", "token_logprobs"),
        (["--score-is", "positive", "--evidence", "score"], "REQUEST_REFUSED", "positive_probability"),
        (["--out", "/nowhere/at/all/cal.json"], "REQUEST_REFUSED", "a folder that exists"),
        (["--out", "/tmp/" + "long" * 80], "REQUEST_REFUSED", "cannot be written"),
        (["--even-if-young"], "REQUEST_REFUSED", "--even-if-young goes with --alias"),
    ],
)
def test_mistakes_are_one_line_on_stderr(
    labelled: Path, flags: list[str], code: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = fit(labelled, *flags)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith(f"error [{code}]: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert captured.out == ""
    assert not out.exists()


def test_evaluate_refuses_bad_calibrators(
    labelled: Path, logits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(document: Path, source: Path = labelled) -> str:
        capsys.readouterr()
        assert cli.main(["evaluate", "--calibrator", str(document), "--from-file", str(source)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    assert "cannot be read" in refused(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("not JSON")
    assert refused(tmp_path / "bad.json").startswith("error [DOCUMENT_MALFORMED]: ")
    text = calibrators.dumps(calibrators.Calibrator(map=calibrators.Temperature(1.5)))
    (tmp_path / "changed.json").write_text(text.replace("1.5", "1.6"))
    assert str(tmp_path / "changed.json") in refused(tmp_path / "changed.json")
    _, vector = fit(logits, "--kind", "temperature")
    assert "takes logit vectors" in refused(vector)


@pytest.mark.parametrize(
    "argv", [[], ["fit"], ["nonsense"], ["fit", "--kind", "neural"], ["evaluate", "--json"]]
)
def test_usage_errors_exit_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for flag in (
        *(
            "--from-file",
            "--score-column",
            "--label-column",
            "--weight-column",
            "--group-column",
            "--time-column",
        ),
        *("--kind", "--score-is", "--seed", "--out", "--register", "--alias", "--model", "--model-version"),
        *("--any-version", "--evidence", "--aggregation", "--criterion"),
    ):
        assert flag in text


@pytest.mark.process
def test_as_a_process(labelled: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-W", "error", "-m", "training", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("fit", "--from-file", str(labelled), "--out", str(tmp_path / "c.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert calibrators.loads((tmp_path / "c.json").read_text()).kind == "temperature"
    refused = run("fit", "--from-file", str(tmp_path / "none.csv"), "--out", str(tmp_path / "d.json"))
    assert refused.returncode == 2
    assert refused.stderr == f"error [DATA_REFUSED]: {tmp_path / 'none.csv'}: there is no such file\n"


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated", "ignore:Operation with range is deprecated"
)
def test_register_publishes_with_evidence(
    labelled: Path, mlflow_registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    flags = ("--model", "leads", "--any-version", "--evidence", "score")
    code, out = fit(labelled, "--register", "fitted-leads", "--alias", "champion", *flags)
    assert code == 0
    assert "Registered fitted-leads version 1 as champion." in capsys.readouterr().out
    client = MlflowClient(mlflow_registry, mlflow_registry)
    version = client.get_model_version_by_alias("fitted-leads", "champion")
    assert version.tags["trueband.sha256"] == calibrators.loads(out.read_text()).digest
    run = client.get_run(version.run_id)
    assert run.data.metrics["n"] == 2000.0
    assert run.data.metrics["calibrated_log_loss"] < run.data.metrics["raw_log_loss"]
    assert run.data.params["kind"] == "temperature"
    files = {item.path for item in client.list_artifacts(version.run_id, "evidence")}
    assert files == {"evidence/reliability.png", "evidence/selection.json"}


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated", "ignore:Operation with range is deprecated"
)
def test_no_alias_points_at_what_rests_on_next_to_nothing(
    tmp_path: Path, mlflow_registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    flags = ("--register", "young-leads", "--model", "leads", "--any-version", "--evidence", "score")
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.5, 0.99, 1000)
    for name, rows, labels, words in (
        ("few.npz", slice(0, 29), np.arange(1000) % 2, "29 effective labels, 30 are needed"),
        ("right.npz", slice(0, 200), np.arange(1000) >= 4, "4 incorrect and 196 correct labels"),
        ("flat.npz", slice(0, 1000), rng.random(1000) < 1.3 - scores, "the score is uninformative"),
    ):
        np.savez(tmp_path / name, scores=scores[rows], labels=labels[rows].astype(int))
        code, out = fit(tmp_path / name, *flags, "--alias", "champion")
        assert code == 2
        refused = capsys.readouterr().err
        assert words in refused
        assert "--even-if-young" in refused
        assert not out.exists(), "nothing was done by halves"
    client = MlflowClient(mlflow_registry, mlflow_registry)
    assert not client.search_registered_models("name='young-leads'")
    # A challenger decides nothing, and who knows what they do may say so.
    assert fit(tmp_path / "few.npz", *flags, "--alias", "challenger")[0] == 0
    assert fit(tmp_path / "few.npz", *flags, "--alias", "champion", "--even-if-young")[0] == 0
    assert client.get_registered_model("young-leads").aliases == {"challenger": "1", "champion": "2"}


def test_a_seed_is_a_whole_number_from_0_on(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("-1", "1.5", "many"):
        with pytest.raises(SystemExit) as ended:
            fit(labelled, "--seed", given)
        assert ended.value.code == 2
        assert "a whole number from 0 on" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_to_is_refused_before_the_fit(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert fit(labelled)[0] == 2
    captured = capsys.readouterr()
    assert "you may not write into the folder" in captured.err
    assert captured.out == ""


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated", "ignore:Operation with range is deprecated"
)
def test_a_registry_that_no_sidecar_can_read_is_said_aloud(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import registry

    monkeypatch.setattr(registry, "publish", lambda *_, **__: "1")
    flags = ("--register", "x", "--model", "leads", "--any-version", "--evidence", "score")
    for address, said in (("sqlite:///mlflow.db", True), ("http://mlflow:5000", False)):
        monkeypatch.setattr(registry, "address", lambda address=address: address)
        assert fit(labelled, *flags)[0] == 0
        told = " ".join(capsys.readouterr().out.split())
        assert (
            "The registry is sqlite:///mlflow.db, which no sidecar can read: set MLFLOW_TRACKING_URI" in told
        ) is said


def test_the_address_of_the_registry_keeps_passwords_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    from training import registry

    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: "https://ada:secret@mlflow.example:5000/x")
    assert registry.address() == "https://mlflow.example:5000/x"


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("trueband ")
