"""`check` and `spec` as a person, or a pipeline, runs them."""

import argparse
import json
import subprocess
import sys

import pytest

import calibrators
from sidecar import cli
from sidecar.policy import loading

GOOD = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    categories: {general: {}, refunds: {mandatory_review: true}}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_good_policy_is_proven_and_its_digest_told(policy, capsys):
    code, out, err = run(capsys, "check", policy)
    assert (code, err) == (0, "")
    # 4 mandatory and 2 other rows x 4 bands x 7 states.
    assert "lead-classifier: 168 cells enumerated, 112 mandatory, every one of them ends with a person" in out
    assert loading.read(policy).digest in out


def test_what_is_never_audited_is_a_warning_and_no_mistake(policy, capsys):
    assert "warning" not in run(capsys, "check", policy)[1]
    policy.write_text(GOOD.replace("general: {}", "general: {audit_rate: 0}"), encoding="utf-8")
    code, out, err = run(capsys, "check", policy)
    assert (code, err) == (0, "")
    assert "warning: model lead-classifier, category general, band auto: it acts and is never audited" in out
    assert out.count("warning: ") == 3
    assert ": good, digest " in out


def test_a_mistake_is_named_and_the_exit_code_is_2(policy, capsys):
    policy.write_text(GOOD.replace("evidence: score", "evidence: scores"), encoding="utf-8")
    for command in ("check", "spec"):
        code, out, err = run(capsys, command, policy)
        assert (code, out) == (2, "")
        assert "POLICY_REFUSED" in err
        assert "models.lead-classifier.evidence" in err
        assert "policy.yaml" in err


def test_a_missing_file_is_named(tmp_path, capsys):
    code, out, err = run(capsys, "check", tmp_path / "nowhere.yaml")
    assert (code, out) == (2, "")
    assert "nowhere.yaml" in err


def test_check_needs_a_policy_or_gives_the_schema(capsys):
    code, _, err = run(capsys, "check")
    assert code == 2
    assert "--schema" in err
    code, out, _ = run(capsys, "check", "--schema")
    assert code == 0
    schema = json.loads(out)
    assert {"version", "models", "idempotency", "review"} <= set(schema["properties"])
    assert "from" in schema["$defs"]["Band"]["properties"]


def test_spec_writes_the_document(policy, capsys):
    code, out, err = run(capsys, "spec", policy)
    assert (code, err) == (0, "")
    assert out.startswith("# Routing policy\n")
    assert "* `refunds`" in out


def test_a_broken_promise_is_refused(policy, capsys, monkeypatch):
    monkeypatch.setattr("sidecar.policy.floors.PERSON_ACTIONS", frozenset({"AUTO_ROUTE"}))
    code, out, err = run(capsys, "check", policy)
    assert (code, out) == (2, "")
    assert "the policy breaks a promise" in err


def test_check_and_spec_take_the_floors_that_bind(policy, capsys, tmp_path):
    floors = tmp_path / "floors.yaml"
    floors.write_text("version: 1\nmandatory_categories: [general]\nmodels: {lead: {}}\n", encoding="utf-8")
    code, out, err = run(capsys, "check", policy, "--floors", floors)
    assert (code, err) == (0, "")
    assert "168 cells enumerated, 140 mandatory" in out
    assert "note: the floors name models that this policy does not have: lead" in out
    assert f"{floors}: good, digest sha256:" in out
    code, out, _ = run(capsys, "spec", policy, "--floors", floors)
    assert code == 0
    assert "* `general` (from the floors file; a policy cannot remove it)" in out


def test_bad_floors_are_named(policy, capsys, tmp_path):
    floors = tmp_path / "floors.yaml"
    floors.write_text("version: 1\nmandatory: [general]\n", encoding="utf-8")
    for command in ("check", "spec"):
        code, out, err = run(capsys, command, policy, "--floors", floors)
        assert (code, out) == (2, "")
        assert "FLOORS_REFUSED" in err
        assert "mandatory: no such key" in err
        assert "floors.yaml" in err


def test_check_gives_the_schema_of_the_floors(capsys):
    code, out, _ = run(capsys, "check", "--floors-schema")
    assert code == 0
    assert set(json.loads(out)["properties"]) == {"version", "mandatory_categories", "models", "detectors"}


def test_check_proves_the_fallback_chain_too(policy, capsys, monkeypatch):
    monkeypatch.setattr("sidecar.decision.proofs.chain_violations", lambda *_: ["a broken chain"])
    code, out, err = run(capsys, "check", policy)
    assert (code, out) == (2, "")
    assert "a broken chain" in err


def test_check_tells_of_a_calibrator_file_without_the_curve_that_bands_are_cut_on(policy, capsys, tmp_path):
    bare, curved = tmp_path / "bare.json", tmp_path / "curved.json"
    curve = calibrators.LowerCurve(level=0.95, method="m", confidences=(0.9,), bounds=(0.8,))
    bare.write_text(calibrators.dumps(calibrators.Calibrator(calibrators.Identity())))
    curved.write_text(calibrators.dumps(calibrators.Calibrator(calibrators.Identity(), lower=curve)))
    for uri, band_on, told in (
        (f"file:{bare}", "lower_bound", "carries no lower curve"),
        (f"file:{tmp_path}/none.json", "lower_bound", "cannot be read here"),
        (f"file:{curved}", "lower_bound", ""),
        (f"file:{bare}", "calibrated", ""),
        ("models:/c@champion", "lower_bound", ""),
    ):
        text = GOOD.replace("models:/c@champion", uri) + f"    band_on: {band_on}\n"
        policy.write_text(text, encoding="utf-8")
        code, out, _ = run(capsys, "check", policy)
        assert code == 0
        assert told in out
        assert ("note:" in out) == bool(told)


@pytest.mark.parametrize(
    ("fields", "required", "warned"),
    [
        ("fields: [text], ", "", "context field text"),
        ("fields: [text], ", "require_context: [text]", ""),
        ("fields: [text, body], ", "require_context: [text]", "context field body"),
        ("", "", "without context"),
        ("", "require_context: [text]", ""),
    ],
)
def test_check_warns_of_detectors_over_fields_that_nothing_demands(
    tmp_path, capsys, fields, required, warned
):
    path = tmp_path / "policy.yaml"
    path.write_text(
        f"version: 1\ndetectors: [{{name: d, category: legal_language, {fields}pattern: attorney}}]\n"
        f"models:\n  m:\n    calibrator: models:/c@champion\n    evidence: score\n    {required}\n"
    )
    assert cli.main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert ("detector d passes what comes without" in said) is bool(warned)
    assert warned in said


def test_every_command_is_declared_by_its_module():
    top = cli.parser()
    (commands,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    assert list(commands.choices) == list(cli.COMMANDS)
    for name in cli.COMMANDS:
        assert name in cli.parser(name).format_help()


def test_check_waits_for_no_database_no_registry_and_no_channel():
    script = (
        "import sys; from sidecar import cli\n"
        "try: cli.main(['check', 'nowhere.yaml'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'sqlalchemy', 'alembic', 'mlflow', 'grpc', 'rich', 'scipy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert "nowhere.yaml" in ran.stderr
