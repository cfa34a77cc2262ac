"""From a ledger's labels to a registered challenger: what counts, how much, and what is promoted."""

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from calibrators import AppliesTo, Calibrator, Evidence, Identity
from sidecar.decision.records import Artifact, Decision, PlannedTask
from sidecar.decision.steps import FallbackStep
from sidecar.ledger import intake, labelled
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import Action, AnswerSource, TaskKind
from tests import builders
from training import cli, errors
from training.data import labelled_decisions

pytestmark = [
    # MLflow's own, from reading YAML and from describing the input example.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]

START = 1_790_000_000.0
names = (f"retrained-{number}" for number in itertools.count(1))


@pytest.fixture
def name() -> str:
    return next(names)


def policy_text(name: str, evidence: str = "score", more: str = "") -> str:
    classes = "" if evidence == "score" else ", classes: [a, b, c]"
    return f"""
version: 1
models:
  leads: {{calibrator: "models:/{name}@champion", evidence: {evidence}{classes}{more}}}
"""


def decision(number: int, score: float, **changes: Any) -> Decision:
    """An answer that was held, one a second; keywords change it."""
    fields: dict[str, Any] = {
        "decision_id": f"d{number:06d}",
        "model": "leads",
        "model_version": "v1",
        "calibrated_confidence": None,
        "action": Action.HOLD_FOR_REVIEW,
        "policy_digest": "sha256:none",
        "audit_rate": 0.0,
    }
    return builders.decision(number, at=START + number, score=score, **fields | changes)


def planned(*kinds: TaskKind) -> tuple[PlannedTask, ...]:
    return builders.planned(*kinds, due_at=START + 1e6)


Fill = Callable[..., str]


@pytest.fixture
def fill(tmp_path: Path, name: str) -> Fill:
    """Writes n labelled answers of an overconfident model into a ledger: its URL.

    Half of them were held, and half acted and were drawn for audit with probability 0.25.
    """

    def make(
        n: int,
        *,
        versions: Sequence[str] = ("v1",),
        stretch: float = 2.5,
        seed: int = 5,
        more: str = "",
        volunteered: int = 0,
        unlabelled: int = 0,
    ) -> str:
        rng = random.Random(seed)
        loaded = loading.parse(policy_text(name, more=more))
        records: list[Any] = [Artifact(digest=loaded.digest, kind="policy", body=loaded.canonical)]
        for number in range(n):
            logit = rng.gauss(1.5, 1.5)
            score, truth = (1.0 / (1.0 + math.exp(-value)) for value in (logit, logit / stretch))
            audited = number % 2 == 0
            kind = TaskKind.AUDIT if audited else TaskKind.HOLD
            made = decision(
                number,
                score,
                model_version=versions[number % len(versions)],
                policy_digest=loaded.digest,
                action=Action.AUTO_ROUTE if audited else Action.HOLD_FOR_REVIEW,
                may_act=audited,
                audit_rate=0.25 if audited else 0.0,
                drawn=audited,
                tasks=planned(kind),
            )
            told = None if number % 100 < volunteered else kind
            records.append(made)
            if number >= unlabelled:
                records.append(builders.label_about(made, rng.random() < truth, told))
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        with Ledger(url) as ledger:
            ledger.migrate()
            ledger.write(intake.take_in, records)
        return url

    return make


def retrain(url: str, *arguments: str, model: str = "leads") -> int:
    return cli.main(["retrain", "--model", model, "--ledger-url", url, "--by", "ada", *arguments])


@pytest.fixture
def client(mlflow_registry: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)


def aliases(client: Any, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def versions_of(client: Any, name: str) -> int:
    return len(client.search_model_versions(f"name='{name}'"))


# The whole command, with a real registry.


def test_a_challenger_is_registered_with_its_evidence_and_promoted_only_if_asked_and_accepted(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = fill(1200)
    assert retrain(url) == 0
    told = capsys.readouterr().out
    assert "The gate accepts the challenger:" in told
    assert "IMPROVED" in told
    assert "Registered as version 1, alias challenger." in told
    assert aliases(client, name) == {"challenger": "1"}, "nobody asked for promotion"

    found = client.get_model_version(name, "1")
    assert found.tags["gate"] == "accepted"
    assert "IMPROVED" in found.tags["gate_reasons"]
    assert found.tags["champion_version"] == "none"
    assert found.tags["policy_digest"] == loading.parse(policy_text(name)).digest
    assert found.tags["data_digest"].startswith("sha256:")
    assert "2026-" in found.tags["data_window"]
    assert "Judged against the raw confidence: accepted." in found.description
    assert {each.path for each in client.list_artifacts(found.run_id, "evidence")} == {
        f"evidence/{file}"
        for file in ("reliability.png", "selection.json", "verdict.json", "policy.json", "rerouting.json")
    }
    run = client.get_run(found.run_id)
    assert run.data.metrics["challenger_log_loss"] < run.data.metrics["champion_log_loss"]
    assert run.data.metrics["gate_n"] == 360
    verdict = json.loads(evidence(client, found, "verdict.json"))
    assert verdict["accept"] is True
    assert verdict["judged_on"]["labels"] == 360
    assert (
        loading.parse(evidence(client, found, "policy.json").decode()).digest == found.tags["policy_digest"]
    )
    assert evidence(client, found, "reliability.png").startswith(b"\x89PNG")

    assert retrain(url, "--promote") == 0
    assert "and promoted: champion points at it." in capsys.readouterr().out
    assert aliases(client, name) == {"challenger": "2", "champion": "2"}

    # The same labels again cannot show that anything is better than what was fitted to them.
    assert retrain(url, "--promote") == 0
    told = capsys.readouterr().out
    assert "The gate keeps the champion:" in told
    assert "NOT_IMPROVED" in told
    assert aliases(client, name) == {"challenger": "3", "champion": "2"}
    kept = client.get_model_version(name, "3")
    assert (kept.tags["gate"], kept.tags["champion_version"]) == ("kept_champion", "2")
    assert "Judged against the champion, version 2: champion kept." in kept.description


def evidence(client: Any, version: Any, file: str) -> bytes:
    path = client.download_artifacts(version.run_id, f"evidence/{file}")
    return Path(path).read_bytes()


def test_too_few_labels_keep_the_champion_and_are_no_error(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = fill(24)
    assert retrain(url, "--promote") == 0
    told = capsys.readouterr().out
    assert "The gate keeps the champion:" in told
    assert "TOO_FEW_LABELS" in told
    assert aliases(client, name) == {"challenger": "1"}

    # All labels before `--since` are gone; so is everything where nothing was labelled.
    assert retrain(url, "--since", "1h") == 0
    assert capsys.readouterr().out.startswith("Kept the champion: no labelled decision can train")
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    with Ledger(empty) as ledger:
        ledger.migrate()
    assert retrain(empty, "--promote") == 0
    assert "Kept the champion: the ledger has no decision of model 'leads'" in capsys.readouterr().out
    assert versions_of(client, name) == 1


def test_versions_of_the_model_are_pooled_only_if_that_is_said(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = fill(600, versions=("v1", "v1", "v2"))
    assert retrain(url) == 2
    refused = capsys.readouterr().err
    assert "several model versions (v1, v2)" in refused
    assert "--model-version" in refused
    with pytest.raises(Exception, match="not found"):
        client.get_registered_model(name)

    from training import registry

    assert retrain(url, "--model-version", "v1") == 0
    assert "left out: 200 another model version" in capsys.readouterr().out.replace("\n", " ")
    one = registry.champion(name, "challenger")
    assert retrain(url, "--any-version") == 0
    every = registry.champion(name, "challenger")
    assert one is not None
    assert every is not None
    assert one[1].applies_to is not None
    assert every[1].applies_to is not None
    assert one[1].applies_to.model_versions == ("v1",)
    assert every[1].applies_to.model_versions is None
    assert one[1].fit is not None
    assert one[1].fit.n == 280, "70 % of 400, the earlier ones"


def test_what_cannot_be_retrained_is_refused_with_what_to_do(
    fill: Fill, tmp_path: Path, name: str, mlflow_registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = fill(40)
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text(name).replace(f"models:/{name}@champion", "file:here.json"))
    cases = [
        ((f"sqlite:///{tmp_path / 'nowhere.db'}",), "there is no ledger at"),
        ((url, "--policy", str(policy)), "name the registered model with --name"),
        ((url, "--policy", str(tmp_path / "none.yaml")), "none.yaml"),
        (("mysql://nowhere",), "must begin with one of sqlite, postgresql"),
    ]
    for arguments, words in cases:
        assert retrain(*arguments) == 2
        assert words in capsys.readouterr().err
    policy.write_text(policy_text(name).replace("leads:", "others:"))
    assert retrain(url, "--policy", str(policy)) == 2
    assert "the policy has no model 'leads'; it has others" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        retrain(url, "--since", "yesterday")
    assert end.value.code == 2


def test_a_registry_that_is_away_is_one_line(
    fill: Fill, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mlflow_registry: str
) -> None:
    import mlflow

    url = fill(40)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    assert retrain(url) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error [REGISTRY_UNAVAILABLE]: the registry cannot be used")
    assert "Traceback" not in told.err


# What the gate knows beside labels.


def routes_again(client: Any, version: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(evidence(client, version, "rerouting.json"))
    return document


def test_recent_decisions_are_routed_again_labelled_or_not(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = fill(1500, unlabelled=300)
    assert retrain(url) == 0
    told = capsys.readouterr().out
    assert "ROUTING_SHIFT: of the last 1500 decisions" in told.replace("\n    ", " ")
    assert "challenger's" in told, "the table of moves by pair of bands"
    found = client.get_model_version(name, "1")
    document = routes_again(client, found)
    assert document["decisions"] == 1500
    assert sum(move["decisions"] for move in document["bands"]) == 1500
    metrics = client.get_run(found.run_id).data.metrics
    assert metrics["shift_decisions"] == 1500
    assert metrics["shift_automatic_before"] == 0.0, "nothing was in force, so nothing would have acted"
    assert metrics["shift_automatic_after"] == document["automatic"]["after"] > 0.3
    verdict = json.loads(evidence(client, found, "verdict.json"))
    assert [reason["code"] for reason in verdict["reasons"]][-1] == "ROUTING_SHIFT"


def test_a_shift_beyond_what_the_policy_admits_waits_for_a_person(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import registry

    url = fill(1500)
    raw = Calibrator(
        map=Identity(), applies_to=AppliesTo(model="leads", model_versions=("v1",), evidence="score")
    )
    registry.publish(raw, name=name, alias="champion", by="ada")
    assert retrain(url, "--promote") == 0
    told = capsys.readouterr().out
    assert "The gate keeps the champion until a person decides:" in told
    assert "✗ SHIFT_NEEDS_APPROVAL" in told
    assert "IMPROVED" in told
    assert aliases(client, name) == {"challenger": "2", "champion": "1"}
    found = client.get_model_version(name, "2")
    assert found.tags["gate"] == "needs_a_person"
    assert "SHIFT_NEEDS_APPROVAL" in found.tags["gate_reasons"]
    assert "a person must decide" in found.description

    move = ["promote", "2", "--name", name, "--by", "grace", "--reason", "seen"]
    assert cli.main(move) == 2
    assert "error [APPROVAL_NEEDED]" in capsys.readouterr().err
    assert cli.main([*move, "--approve"]) == 0
    assert aliases(client, name)["champion"] == "2"
    assert json.loads(client.get_model_version(name, "2").tags["trueband.approved"])["by"] == "grace"


def test_a_policy_that_admits_the_shift_lets_the_gate_promote(fill: Fill, client: Any, name: str) -> None:
    from training import registry

    url = fill(1500, more=", admission: {max_auto_shift: 0.9}")
    raw = Calibrator(
        map=Identity(), applies_to=AppliesTo(model="leads", model_versions=("v1",), evidence="score")
    )
    registry.publish(raw, name=name, alias="champion", by="ada")
    assert retrain(url, "--promote") == 0
    assert aliases(client, name)["champion"] == "2"
    tags = client.get_model_version(name, "2").tags
    (move,) = [
        found
        for key, value in tags.items()
        if key.startswith("trueband.move.") and (found := json.loads(value))["alias"] == "champion"
    ]
    assert (move["kind"], move["by"], move["done"]) == ("retrain", "ada", True)
    assert move["evidence"] == client.get_model_version(name, "2").run_id


def test_no_retrain_promotes_over_a_rollback_until_a_person_did(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import registry

    url = fill(1500, more=", admission: {max_auto_shift: 0.9}")
    raw = Calibrator(
        map=Identity(), applies_to=AppliesTo(model="leads", model_versions=("v1",), evidence="score")
    )
    registry.publish(raw, name=name, alias="champion", by="ada")
    assert retrain(url, "--promote") == 0
    registry.rollback(name, by="ada", reason="it acted on too much")
    assert retrain(url, "--promote") == 0
    assert "✗ ROLLED_BACK" in capsys.readouterr().out
    assert aliases(client, name)["champion"] == "1"
    assert client.get_model_version(name, "3").tags["gate"] == "needs_a_person"

    client.set_registered_model_alias(name, "champion", "3")
    assert retrain(url, "--promote") == 0
    assert "MOVED_BY_HAND" in client.get_model_version(name, "4").tags["gate_reasons"]
    client.set_registered_model_alias(name, "champion", "1")
    registry.promote(name, "1", by="grace", reason="it stays for now")
    assert retrain(url, "--promote") == 0
    assert aliases(client, name)["champion"] == "5"


def test_outcomes_alone_say_that_nothing_was_drawn(fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    url = fill(200, volunteered=100)
    assert retrain(url, "--promote") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("Kept the champion: no labelled decision can train and judge a calibrator")
    assert "200 not drawn with a known probability" in told


def test_a_single_drawn_label_is_not_enough_and_the_rest_is_told(
    fill: Fill, capsys: pytest.CaptureFixture[str], mlflow_registry: str
) -> None:
    url = fill(100, volunteered=99)
    assert retrain(url) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Kept the champion: 1 labels were drawn: all labelled decisions are of one moment" in told
    assert "left out: 99 not drawn with a known probability" in told


def test_labels_that_nobody_drew_train_only_where_the_policy_says_so(
    fill: Fill, client: Any, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = fill(1500, volunteered=40)
    assert retrain(url) == 0
    assert "left out: 600 not drawn" in capsys.readouterr().out
    plain = client.get_model_version(name, "1")
    assert "trueband.undrawn_labels" not in plain.tags
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text(name, more=", retrain: {undrawn_labels: true}"))
    assert retrain(url, "--policy", str(policy)) == 0
    told = capsys.readouterr().out
    assert "600 more were not drawn: they train, and judge nothing" in told
    assert "UNDRAWN_LABELS" in told
    found = client.get_model_version(name, "2")
    assert found.tags["trueband.undrawn_labels"] == "600"
    judged = [json.loads(evidence(client, each, "verdict.json"))["judged_on"] for each in (plain, found)]
    assert judged[0] == judged[1]


def test_a_model_that_nobody_knows_is_a_mistake(fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    url = fill(40)
    assert retrain(url, model="laeds") == 2
    assert "the policy has no model 'laeds'; it has leads" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        retrain(url, "--seed", "-1")
    assert end.value.code == 2
    assert "a whole number from 0 on" in capsys.readouterr().err


# The secondary's answers.

SECONDARY = """
version: 1
models:
  leads:
    calibrator: models:/primary@champion
    evidence: score
    classes: [interested, other]
    fallback:
      - step: secondary
        address: secondary:8081
        model: backup
        %s
        inputs: [{name: text, from: context.text, datatype: BYTES}]
        output: {meaning: label_and_score, label: answer, score: confidence}
        %s
"""


def test_labels_about_the_secondary_train_its_own_calibrator(
    client: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import registry

    named = f"calibrator: models:/{name}@champion"
    texts = {
        "old": SECONDARY % ('version: "6"', named),
        "new": SECONDARY % ('version: "7"', named),
        "unpinned": SECONDARY % ("", named),
        "unnamed": SECONDARY % ('version: "7"', ""),
    }
    loaded = {key: loading.parse(text) for key, text in texts.items()}
    rng = random.Random(9)
    records: list[Any] = [
        Artifact(digest=each.digest, kind="policy", body=each.canonical) for each in loaded.values()
    ]
    for number in range(1000):
        logit = rng.gauss(1.5, 1.5)
        score, truth = (1.0 / (1.0 + math.exp(-value)) for value in (logit, logit / 2.5))
        step = FallbackStep(
            step="secondary", outcome="NOT_CLEARED", answer_class="interested", raw_confidence=score
        )
        made = decision(
            number,
            0.6,
            steps=(step,),
            tasks=planned(TaskKind.HOLD),
            policy_digest=loaded["old" if number < 100 else "new"].digest,
        )
        said = builders.label_about(made, rng.random() < truth, TaskKind.HOLD)
        records += [made, msgspec.structs.replace(said, about="SECONDARY")]
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger(url) as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, records)

    assert retrain(url, "--source", "secondary") == 0
    told = capsys.readouterr().out
    assert "left out: 100 answered by another secondary model" in told
    found = registry.champion(name, "challenger")
    assert found is not None
    applies = found[1].applies_to
    assert applies is not None
    assert (applies.source, applies.model_versions, applies.answer) == ("secondary", ("7",), "given")
    assert found[1].fit is not None
    assert found[1].fit.n == 630
    assert found[1].apply_one(0.95) < 0.93, "it was overconfident"
    assert "rerouting.json" not in told

    # The primary has no labels of its own here.
    assert retrain(url) == 0
    assert "1000 about another source's answer" in " ".join(capsys.readouterr().out.split())
    for key, words in (
        ("unpinned", "pins no version of the secondary"),
        ("unnamed", "names no calibrator for the secondary"),
    ):
        path = tmp_path / f"{key}.yaml"
        path.write_text(texts[key])
        assert retrain(url, "--source", "secondary", "--policy", str(path)) == 2
        assert words in capsys.readouterr().err
    path = tmp_path / "none.yaml"
    path.write_text(policy_text(name))
    assert retrain(url, "--source", "secondary", "--policy", str(path)) == 2
    assert "no step secondary" in capsys.readouterr().err


# What counts, and with which weight.


def known(given: Decision, correct: bool = True, **changes: Any) -> Labelled:
    fields: dict[str, Any] = {
        "decision": given,
        "correct": correct,
        "drawn": True,
        "propensity": 1.0,
        "about": "PRIMARY",
        "label": builders.label_about(given, correct, TaskKind.HOLD),
    }
    return Labelled(**fields | changes)


ENTRY = loading.parse(policy_text("any")).policy.models["leads"]


def test_labels_weigh_the_inverse_of_their_propensity_in_the_order_of_the_decisions() -> None:
    given = [
        known(decision(3, 0.7), correct=False, propensity=0.05),
        known(decision(1, 0.9), propensity=1.0),
        known(decision(2, 0.8, group_key="letter-7"), propensity=0.25),
    ]
    built = labelled_decisions.build(given, ENTRY)
    data = built.dataset
    assert data.scores.tolist() == [0.9, 0.8, 0.7]
    assert data.correct.tolist() == [1.0, 1.0, 0.0]
    assert data.weights.tolist() == [1.0, 4.0, 20.0]
    assert data.times is not None
    assert data.times.tolist() == [START + 1, START + 2, START + 3]
    assert data.groups is not None
    assert data.groups.tolist() == ["d000001", "letter-7", "d000003"]
    assert (built.model_versions, built.left_out) == (("v1",), {})


def test_what_was_not_drawn_is_left_out_and_counted() -> None:
    truncated = Evidence("score", (0.9,), truncated=True)
    given = [
        known(decision(1, 0.9)),
        known(decision(2, 0.9), drawn=False, propensity=None),
        known(decision(3, 0.9), drawn=True, propensity=None),
        known(decision(4, 0.9), about="SECONDARY"),
        known(decision(5, 0.9, evidence=Evidence("logits", (1.0, 2.0)))),
        known(decision(6, 0.9, raw_confidence=None)),
        known(decision(7, 0.9, evidence=truncated)),
        known(decision(8, 0.9, model_version="v2")),
    ]
    built = labelled_decisions.build(given, ENTRY, model_versions=("v1",))
    assert len(built.dataset) == 1
    assert built.left_out == {
        "not drawn with a known probability": 2,
        "about another source's answer": 1,
        "with evidence of another kind": 2,
        "of a truncated generation": 1,
        "another model version": 1,
    }
    with pytest.raises(errors.NotEnoughLabels, match="2 not drawn with a known probability"):
        labelled_decisions.build(given[1:3], ENTRY)
    with pytest.raises(errors.NotEnoughLabels, match="there is none"):
        labelled_decisions.build([], ENTRY)


def test_only_labels_through_a_task_count_as_drawn_and_a_hold_is_sure_to_be_labelled(tmp_path: Path) -> None:
    """Through the real ledger: volunteered, audited, held, and audited but held as well."""
    free = decision(1, 0.9, action=Action.AUTO_ROUTE, may_act=True, audit_rate=0.05)
    drawn = decision(
        2,
        0.9,
        action=Action.AUTO_ROUTE,
        may_act=True,
        audit_rate=0.05,
        drawn=True,
        tasks=planned(TaskKind.AUDIT),
    )
    held = decision(3, 0.6, tasks=planned(TaskKind.HOLD))
    rules = decision(4, 0.6, tasks=planned(TaskKind.HOLD), source=AnswerSource.RULES)
    claims = builders.label_about(free, True, None, channel="AUDIT_TASK", task_id="made-up")
    labels = [
        claims,
        builders.label_about(drawn, True, TaskKind.AUDIT),
        builders.label_about(held, False, TaskKind.HOLD),
        builders.label_about(rules, True, TaskKind.HOLD),
    ]
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [free, drawn, held, rules, *labels])
        built = labelled_decisions.build(ledger.read(labelled.labelled, "leads"), ENTRY)
    assert built.dataset.weights.tolist() == [20.0, 1.0]
    assert built.dataset.correct.tolist() == [1.0, 0.0]
    assert built.left_out == {"not drawn with a known probability": 1, "about another source's answer": 1}


def test_versions_are_named_pooled_or_refused() -> None:
    given = [known(decision(number, 0.9, model_version=version)) for number, version in enumerate("aab")]
    with pytest.raises(errors.RequestRefused, match=r"several model versions \(a, b\)"):
        labelled_decisions.build(given, ENTRY)
    assert labelled_decisions.build(given, ENTRY, pool=True).model_versions is None
    assert labelled_decisions.build(given, ENTRY, model_versions=("a",)).model_versions == ("a",)
    assert labelled_decisions.build(given, ENTRY, model_versions=("a", "b")).model_versions == ("a", "b")
    unnamed = [known(decision(number, 0.9, model_version="")) for number in range(3)]
    assert labelled_decisions.build(unnamed, ENTRY).model_versions is None
    with pytest.raises(errors.RequestRefused, match=r"several model versions \(\(none\), a\)"):
        labelled_decisions.build([*given[:2], *unnamed], ENTRY)


def test_vectors_come_with_the_answer_that_was_given() -> None:
    entry = loading.parse(policy_text("any", evidence="probabilities")).policy.models["leads"]
    given = [
        known(
            decision(
                1,
                0.7,
                evidence=Evidence("probabilities", (0.2, 0.7, 0.1), answer_index=1),
                raw_confidence=0.7,
            )
        ),
        known(
            decision(2, 0.2, evidence=Evidence("probabilities", (0.2, 0.8, 0.0), answer_index=0)),
            correct=False,
        ),
    ]
    data = labelled_decisions.build(given, entry).dataset
    assert data.vectors is not None
    assert data.answers is not None
    np.testing.assert_allclose(np.exp(data.vectors[0]), [0.2, 0.7, 0.1], rtol=1e-15)
    assert np.isfinite(data.vectors).all(), "a share of 0 has no logarithm"
    assert data.answers.tolist() == [1, 0]
    assert data.answer == "given", "an answer that is not the most likely one was given"
