"""Publishing, promotion and rollback, against a real MLflow server."""

import argparse
import itertools
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from calibrators import AppliesTo, Calibrator, CalibratorRefused, Isotonic, Platt
from calibrators.errors import TruebandError
from sidecar import dialect
from training import registry
from training.commands import flags
from training.commands import promote as promote_command
from training.commands import rollback as rollback_command
from training.registry import versions

pytestmark = [
    # MLflow's own, from reading YAML and from describing the input example.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]

WHEN = 1_790_000_000.0
APPLIES = AppliesTo(model="lead-classifier", model_versions=None, evidence="score")
names = (f"calibrator-{number}" for number in itertools.count(1))


def calibrator(slope: float) -> Calibrator:
    return Calibrator(map=Platt(slope=slope, intercept=-0.25, on="logit"), applies_to=APPLIES)


FIRST, SECOND, THIRD = calibrator(0.5), calibrator(0.75), calibrator(1.5)


@pytest.fixture
def name() -> str:
    return next(names)


@pytest.fixture
def client(mlflow_registry: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)


@pytest.fixture
def three(register_version, name: str) -> str:
    """A registered model with three versions and no alias."""
    assert [register_version(name, each) for each in (FIRST, SECOND, THIRD)] == ["1", "2", "3"]
    return name


def ticking(start: float = WHEN) -> Callable[[], float]:
    seconds = itertools.count(start)
    return lambda: float(next(seconds))


def put(name: str, version: str, **changes: object) -> registry.Promotion:
    arguments: dict[str, object] = {"by": "ada", "reason": "because", "clock": ticking(), **changes}
    return registry.promote(name, version, **arguments)  # type: ignore[arg-type]


def back(name: str, **changes: object) -> registry.Promotion:
    arguments: dict[str, object] = {"by": "ada", "reason": "it was wrong", "clock": ticking(), **changes}
    return registry.rollback(name, **arguments)  # type: ignore[arg-type]


def aliases(client, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def moves_of(client, name: str, version: str) -> list[dict[str, object]]:
    tags = client.get_model_version(name, version).tags
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(dialect.MOVE_TAG)]


def test_publish_registers_the_calibrator_with_its_evidence(client, name: str, tmp_path: Path) -> None:
    figure = Figure()
    figure.add_subplot().plot([0, 1], [0, 1])
    fitted = Calibrator(map=Isotonic(x=(0.1, 0.6, 0.9), y=(0.2, 0.5, 0.8)), applies_to=APPLIES)

    version = registry.publish(
        fitted,
        name=name,
        alias="champion",
        tags={"gate": "accepted"},
        metrics={"ece": 0.031},
        params={"folds": 5},
        figures={"reliability.png": figure},
        documents={"selection.json": {"kind": "isotonic"}, "notes.md": "# Why"},
        description="Fitted to **500** labels.",
        by="ada",
        clock=ticking(),
    )

    found = client.get_model_version(name, version)
    assert version == "1"
    assert found.tags["trueband.sha256"] == fitted.digest
    assert found.tags["trueband.kind"] == "isotonic"
    assert found.tags["gate"] == "accepted"
    assert found.description == "Fitted to **500** labels."
    assert aliases(client, name) == {"champion": "1"}
    assert registry.champion(name) == ("1", fitted)

    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"ece": 0.031}
    assert run.data.params == {"folds": "5"}
    assert client.get_logged_model(found.source.removeprefix("models:/")).metrics[0].value == 0.031
    folder = Path(client.download_artifacts(found.run_id, "evidence", str(tmp_path)))
    assert {path.name for path in folder.iterdir()} == {"reliability.png", "selection.json", "notes.md"}
    assert (folder / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "selection.json").read_text()) == {"kind": "isotonic"}
    assert (folder / "notes.md").read_text() == "# Why"


def test_what_is_published_says_nothing_of_the_machine_and_holds_no_pickle(
    client, name: str, tmp_path: Path
) -> None:
    from mlflow import artifacts

    version = registry.publish(FIRST, name=name, by="ada", clock=ticking())

    folder = Path(
        artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(tmp_path / "all" / ".."))
    )
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"calibrator.json", "MLmodel"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".py")]
    machine = (str(Path.cwd()), str(Path.home()), socket.gethostname(), "site-packages")
    for path in files:
        if path.name != "registered_model_meta":
            text = path.read_text(errors="replace")
            assert not [word for word in machine if len(word) > 4 and word in text], path.name
            assert not re.search(r"(?<![:/\w.])/(home|root|tmp|Users|work)/", text), path.name
    run = client.get_run(client.get_model_version(name, version).run_id)
    assert not {"mlflow.source.name", "mlflow.source.git.commit"} & run.data.tags.keys()


def test_publish_with_an_alias_can_be_rolled_back(client, name: str) -> None:
    clock = ticking()
    for each in (FIRST, SECOND):
        registry.publish(each, name=name, alias="champion", by="ada", description="better", clock=clock)
    assert aliases(client, name) == {"champion": "2", "previous": "1"}
    assert back(name, clock=clock) == registry.Promotion(
        name=name, alias="champion", from_version="2", to_version="1"
    )
    assert registry.champion(name) == ("1", FIRST)
    assert aliases(client, name) == {"champion": "1"}


@pytest.mark.usefixtures("client")
def test_a_calibrator_is_named_by_its_address_in_the_registry(three: str) -> None:
    put(three, "2")
    assert flags.calibrator(Path(f"models:/{three}@champion")) == flags.calibrator(Path(f"models:/{three}/2"))
    for address, code in (
        (f"models:/{three}@nobody", "ALIAS_UNKNOWN"),
        (f"models:/{three}/99", "VERSION_UNKNOWN"),
    ):
        with pytest.raises(TruebandError) as refused:
            flags.calibrator(Path(address))
        assert refused.value.code == code


def test_publish_leaves_no_version_behind_when_its_evidence_cannot_be_drawn(client, name: str) -> None:
    class Broken(Figure):
        def savefig(self, *_: object, **__: object) -> None:
            raise OSError("no ink")

    with pytest.raises(OSError, match="no ink"):
        registry.publish(FIRST, name=name, figures={"reliability.png": Broken()}, experiment="broken")
    experiment = client.get_experiment_by_name("broken").experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]
    assert registry.champion(name) is None
    assert not client.search_registered_models(f"name='{name}'")


@pytest.mark.parametrize(
    "key", ["trueband.sha256", "trueband.revoked", "trueband.move.x", "trueband.kind", "trueband.approved"]
)
def test_publish_refuses_tags_that_are_ours(key: str) -> None:
    with pytest.raises(registry.RegistryRefused, match=re.escape(key)) as refused:
        registry.publish(FIRST, name="anything", tags={key: "forged"})
    assert refused.value.code == "REQUEST_REFUSED"


def test_publish_into_a_deleted_experiment_says_so(client, name: str) -> None:
    client.delete_experiment(client.create_experiment(f"deleted-{name}"))
    with pytest.raises(registry.RegistryRefused, match="was deleted") as refused:
        registry.publish(FIRST, name=name, experiment=f"deleted-{name}")
    assert refused.value.code == "REQUEST_REFUSED"


def test_promote_moves_the_alias_and_leaves_a_trace_on_both_versions(client, three: str) -> None:
    clock = ticking()
    assert put(three, "1", clock=clock).from_version is None
    moved = put(three, "3", by="grace", reason="gate accepted: -0.012 log-loss", clock=clock)

    assert moved == registry.Promotion(name=three, alias="champion", from_version="1", to_version="3")
    assert aliases(client, three) == {"champion": "3", "previous": "1"}
    [trace] = moves_of(client, three, "3")
    assert trace == {
        "alias": "champion",
        "kind": "promote",
        "from_version": "1",
        "to_version": "3",
        "by": "grace",
        "reason": "gate accepted: -0.012 log-loss",
        "at": WHEN + 1,
        "evidence": client.get_model_version(three, "3").run_id or "",
        "time": "2026-09-21T14:13:21+00:00",
        "done": True,
    }
    assert moves_of(client, three, "1")[-1] == trace


def test_promote_to_where_the_alias_is_already_changes_nothing(client, three: str) -> None:
    put(three, "2")
    before = moves_of(client, three, "2")
    again = put(three, "2")
    assert (again.from_version, again.to_version) == ("2", "2")
    assert moves_of(client, three, "2") == before


def test_another_alias_has_its_own_history(client, three: str) -> None:
    clock = ticking()
    put(three, "1", clock=clock)
    put(three, "2", alias="challenger", clock=clock)
    put(three, "3", alias="challenger", clock=clock)
    assert aliases(client, three) == {"champion": "1", "challenger": "3"}
    assert back(three, alias="challenger", clock=clock).to_version == "2"
    assert aliases(client, three) == {"champion": "1", "challenger": "2"}
    with pytest.raises(registry.RegistryRefused) as refused:
        back(three, clock=clock)
    assert refused.value.code == "HISTORY_MISSING"


def test_rollback_goes_back_step_by_step_and_revokes_what_it_leaves(client, three: str) -> None:
    clock = ticking()
    for version in ("1", "2", "3"):
        put(three, version, clock=clock)

    assert back(three, by="grace", reason="holds too much", clock=clock).to_version == "2"
    assert aliases(client, three) == {"champion": "2", "previous": "1"}
    mark = json.loads(client.get_model_version(three, "3").tags["trueband.revoked"])
    assert (mark["by"], mark["reason"]) == ("grace", "holds too much")
    assert mark["time"].startswith("2026-09-21T14:13:")
    assert moves_of(client, three, "2")[-1]["kind"] == "rollback"
    assert moves_of(client, three, "3")[-1]["kind"] == "rollback"

    assert back(three, clock=clock).to_version == "1"
    assert aliases(client, three) == {"champion": "1"}
    with pytest.raises(registry.RegistryRefused, match=r"promote VERSION --name .* --reason") as refused:
        back(three, clock=clock)
    assert refused.value.code == "HISTORY_MISSING"
    assert aliases(client, three) == {"champion": "1"}
    assert "trueband.revoked" not in client.get_model_version(three, "1").tags


def test_rollback_undoes_a_move_by_hand(client, three: str) -> None:
    clock = ticking()
    put(three, "1", clock=clock)
    put(three, "2", clock=clock)
    client.set_registered_model_alias(three, "champion", "3")
    assert back(three, clock=clock) == registry.Promotion(
        name=three, alias="champion", from_version="3", to_version="2"
    )
    assert back(three, clock=clock).to_version == "1"


def test_rollback_passes_over_versions_that_were_revoked_or_deleted(
    client, three: str, register_version
) -> None:
    clock = ticking()
    fourth = register_version(three, FIRST)
    for version in ("1", "2", "3", fourth):
        put(three, version, clock=clock)
    client.set_model_version_tag(three, "3", "trueband.revoked", "by hand")
    client.delete_model_version(three, "2")
    assert back(three, clock=clock) == registry.Promotion(
        name=three, alias="champion", from_version=fourth, to_version="1"
    )


def test_a_move_that_failed_halfway_is_no_part_of_the_history(
    client, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    clock = ticking()
    put(three, "1", clock=clock)
    put(three, "2", clock=clock)

    def lost(*_: object) -> None:
        raise MlflowException("the line is dead")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", lost)
        with pytest.raises(registry.RegistryRefused, match="the line is dead") as refused:
            put(three, "3", clock=clock)
    assert refused.value.code == "REGISTRY_UNAVAILABLE"
    assert [move["done"] for move in moves_of(client, three, "3")] == [False]
    assert back(three, clock=clock).to_version == "1"


def test_an_alias_that_somebody_else_moves_at_the_same_time_is_noticed(
    client, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    put(three, "1")
    real = MlflowClient.set_registered_model_alias

    def overtaken(self: MlflowClient, name: str, alias: str, version: str) -> None:
        real(self, name, alias, version)
        real(self, name, alias, "3")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    with pytest.raises(registry.RegistryRefused, match="moved to 3 by somebody else") as refused:
        put(three, "2")
    assert refused.value.code == "ALIAS_MOVED"


def test_promote_refuses_what_no_sidecar_would_take(client, three: str, register_version) -> None:
    client.set_model_version_tag(three, "2", "trueband.revoked", "leaks refunds")
    untagged = register_version(three, FIRST, tags={})
    changed = register_version(three, FIRST, tags={"trueband.sha256": SECOND.digest})
    expected = {"2": "CALIBRATOR_REVOKED", untagged: "DIGEST_TAG_MISSING", changed: "DIGEST_MISMATCH"}
    for version, code in expected.items():
        with pytest.raises(CalibratorRefused) as refused:
            put(three, version)
        assert refused.value.code == code
    with pytest.raises(CalibratorRefused, match="leaks refunds"):
        put(three, "2")
    assert aliases(client, three) == {}


def test_promote_names_what_does_not_exist(three: str) -> None:
    for name, version, code in (
        (three, "17", "VERSION_UNKNOWN"),
        (three, "three", "REQUEST_REFUSED"),
        ("no-such-model", "1", "VERSION_UNKNOWN"),
    ):
        with pytest.raises(registry.RegistryRefused) as refused:
            put(name, version)
        assert refused.value.code == code
    with pytest.raises(registry.RegistryRefused, match="--register no-such-model") as refused:
        back("no-such-model")
    assert refused.value.code == "REGISTERED_MODEL_UNKNOWN"
    with pytest.raises(registry.RegistryRefused, match="no alias champion") as refused:
        back(three)
    assert refused.value.code == "ALIAS_UNKNOWN"
    with pytest.raises(registry.RegistryRefused, match="reserved") as refused:
        put(three, "1", alias="latest")
    assert refused.value.code == "REQUEST_REFUSED"


def test_a_move_names_the_run_that_it_was_based_on(client, name: str) -> None:
    clock = ticking()
    for each in (FIRST, SECOND):
        registry.publish(each, name=name, alias="champion", by="ada", description="better", clock=clock)
    runs = [client.get_model_version(name, version).run_id for version in ("1", "2")]
    assert all(runs)
    assert [move["evidence"] for move in moves_of(client, name, "2")] == [runs[1]]
    back(name, clock=clock)
    assert moves_of(client, name, "1")[-1]["evidence"] == runs[0]


def test_a_registry_that_is_away_is_given_up_on_soon_unless_the_user_says_otherwise(
    mlflow_registry: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import environment_variables

    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    versions.client()
    assert environment_variables.MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 10
    assert environment_variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 2
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    versions.client()
    assert environment_variables.MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 60


def test_nothing_moves_a_champion_unasked_after_a_rollback_until_a_person_promotes(
    client, three: str
) -> None:
    clock = ticking()
    assert registry.standing("no-such-model") is None
    assert registry.standing(three) is None
    put(three, "1", clock=clock)
    put(three, "2", kind="retrain", clock=clock)
    assert moves_of(client, three, "2")[-1]["kind"] == "retrain"
    assert registry.standing(three) is None
    back(three, clock=clock)
    assert registry.standing(three) == "ROLLED_BACK"
    # The machine cannot confirm where the alias is; a person can.
    assert put(three, "1", kind="retrain", clock=clock).from_version == "1"
    assert registry.standing(three) == "ROLLED_BACK"
    put(three, "1", by="grace", reason="it stays", clock=clock)
    assert registry.standing(three) is None
    last = moves_of(client, three, "1")[-1]
    assert (last["kind"], last["from_version"], last["to_version"], last["by"]) == (
        "promote",
        "1",
        "1",
        "grace",
    )


def test_a_move_by_hand_is_noticed_and_confirmed_by_a_person(client, three: str) -> None:
    clock = ticking()
    put(three, "1", clock=clock)
    client.set_registered_model_alias(three, "champion", "3")
    assert registry.standing(three) == "MOVED_BY_HAND"
    put(three, "3", clock=clock)
    assert registry.standing(three) is None
    assert back(three, clock=clock).to_version == "1", "the way back does not end where it was confirmed"
    put(three, "1", clock=clock)
    client.delete_registered_model_alias(three, "champion")
    assert registry.standing(three) == "MOVED_BY_HAND"


def test_what_shifts_the_routing_needs_an_approval_which_a_rollback_brings_along(
    client, name: str, register_version
) -> None:
    digest = {"trueband.sha256": FIRST.digest}
    register_version(name, FIRST, tags={**digest, "gate_reasons": "IMPROVED, SHIFT_NEEDS_APPROVAL"})
    register_version(name, FIRST, tags=digest)
    clock = ticking()
    put(name, "2", clock=clock)
    with pytest.raises(registry.RegistryRefused, match="--approve") as refused:
        put(name, "1", clock=clock)
    assert refused.value.code == "APPROVAL_NEEDED"
    assert aliases(client, name) == {"champion": "2"}
    put(name, "1", approve=True, by="grace", reason="seen and wanted", clock=clock)
    mark = json.loads(client.get_model_version(name, "1").tags["trueband.approved"])
    assert (mark["by"], mark["reason"], mark["time"][:10]) == ("grace", "seen and wanted", "2026-09-21")
    assert "trueband.approved" not in client.get_model_version(name, "2").tags
    assert back(name, by="ada", clock=clock).to_version == "2"
    assert json.loads(client.get_model_version(name, "2").tags["trueband.approved"])["by"] == "ada"


@pytest.mark.parametrize(("by", "reason"), [("", "why not"), ("ada", "  ")])
def test_a_move_without_a_person_or_a_reason_is_refused(three: str, by: str, reason: str) -> None:
    for use in (lambda: put(three, "1", by=by, reason=reason), lambda: back(three, by=by, reason=reason)):
        with pytest.raises(registry.RegistryRefused) as refused:
            use()
        assert refused.value.code == "REQUEST_REFUSED"


def test_champion_is_none_where_there_is_nothing_to_compare_with(client, three: str) -> None:
    assert registry.champion("no-such-model") is None
    assert registry.champion(three) is None
    put(three, "2")
    assert registry.champion(three) == ("2", SECOND)
    client.set_model_version_tag(three, "2", "trueband.revoked", "by hand")
    assert registry.champion(three) is None


def test_a_document_that_was_damaged_in_the_store_is_refused(
    client, name: str, register_version, tmp_path: Path
) -> None:
    own = calibrator(0.625)
    version = register_version(name, own, alias="champion")
    bad = tmp_path / "calibrator.json"
    bad.write_text("{}")
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    client.log_model_artifact(model_id, str(bad))
    with pytest.raises(CalibratorRefused):
        registry.champion(name)
    with pytest.raises(CalibratorRefused):
        put(name, version, alias="other")


def test_a_registry_that_is_away_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, mlflow_registry: str
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:1")
    for use in (
        lambda: registry.champion("x"),
        lambda: put("x", "1"),
        lambda: registry.publish(FIRST, name="x"),
    ):
        with pytest.raises(registry.RegistryRefused, match="MLFLOW_TRACKING_URI") as refused:
            use()
        assert refused.value.code == "REGISTRY_UNAVAILABLE"


def run_command(*arguments: str) -> int:
    root = argparse.ArgumentParser()
    subparsers = root.add_subparsers(required=True)
    promote_command.add_parser(subparsers)
    rollback_command.add_parser(subparsers)
    parsed = root.parse_args(arguments)
    code: int = parsed.run(parsed)
    return code


def test_the_commands_say_what_they_moved(client, three: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("promote", "1", "--name", three, "--reason", "first") == 0
    assert run_command("promote", "2", "--name", three, "--by", "ada", "--reason", "better") == 0
    assert run_command("promote", "2", "--name", three, "--reason", "again") == 0
    assert run_command("rollback", "--name", three, "--reason", "worse") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{three}: champion is now at version 1; it was nowhere before.",
        f"{three}: champion moved from version 1 to 2.",
        f"{three}: champion was at version 2 already.",
        f"{three}: champion moved back from version 2 to 1; version 2 is revoked.",
    ]
    assert aliases(client, three)["champion"] == "1"
    assert moves_of(client, three, "1")[0]["by"] == registry.person()
    assert moves_of(client, three, "2")[0]["by"] == "ada"


@pytest.mark.parametrize(
    "command",
    [("promote", "1", "--name", "x"), ("rollback", "--name", "x"), ("promote", "1", "--reason", "y")],
)
def test_the_commands_insist_on_a_reason_and_a_version(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(*command)
    assert ended.value.code == 2
    assert "required" in capsys.readouterr().err
