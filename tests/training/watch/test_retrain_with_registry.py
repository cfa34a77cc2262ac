"""What `retrain` in the policy makes the watch do, with a real registry; and metrics in MLflow."""

import json
import math
import random
from typing import Any

import pytest

from training.watch import store

pytestmark = [
    # MLflow's own, from reading YAML and from describing the input example.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/{name}@champion
    evidence: score
    bands:
      - {{name: auto, from: 0.90, action: AUTO_ROUTE, promise: {{accuracy: 0.95}}}}
      - {{name: reject, from: 0.00, action: REJECT}}
    retrain: {retrain}
"""


def fill(world, name: str, retrain: str, n: int = 900) -> None:
    """Answers of an overconfident model that all acted, as if its scores were calibrated."""
    world.use(POLICY.format(name=name, retrain=retrain))
    rng = random.Random(7)
    records: list[Any] = []
    for _ in range(n):
        logit = rng.gauss(1.5, 1.5)
        score, truth = (1.0 / (1.0 + math.exp(-value)) for value in (logit, logit / 2.5))
        world.next += 1
        records += world.audited(
            world.next, rng.random() < truth, raw_confidence=score, score=score, calibrated_confidence=score
        )
    world.apply(records)


@pytest.fixture
def client(mlflow_registry: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)


def versions(client, name: str) -> int:
    return len(client.search_model_versions(f"name='{name}'"))


def runs(world) -> tuple[store.Run, ...]:
    return store.decode(world.states()[store.ROW]).runs


def test_an_alarm_starts_one_retrain_and_promotes_if_the_policy_says_so(world, client) -> None:
    fill(world, "watched-one", "{on_alarm: true, promote: true}")
    code, out, err = world.watch("--no-retrain")
    assert (code, err) == (0, "")
    assert runs(world) == ()
    code, out, err = world.watch()
    told = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "leads: a retrain was due, ACCURACY alarm in auto, leads v1: registered as version 1" in told
    assert "the gate accepts it, and it is promoted" in told
    assert client.get_registered_model("watched-one").aliases == {"challenger": "1", "champion": "1"}
    (run,) = runs(world)
    assert (run.came_to, run.ended_at) == ("version 1, promoted", 1_791_000_000.0)
    for _ in range(2):
        assert "a retrain was due" not in world.watch()[1]
    assert versions(client, "watched-one") == 1, "not every night for one alarm"


def test_a_registry_that_is_away_is_told_and_tried_again(
    world, client, monkeypatch: pytest.MonkeyPatch, mlflow_registry: str
) -> None:
    import mlflow

    fill(world, "watched-two", "{after_labels: 100}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    code, _, err = world.watch("--mlflow")
    assert code == 1
    assert "not done: leads: a retrain was due" in err
    assert "[REGISTRY_UNAVAILABLE]" in err
    assert "not done: leads: no metrics in MLflow" in err
    assert "Traceback" not in err
    assert runs(world) == ()
    mlflow.set_tracking_uri(mlflow_registry)
    code, out, _ = world.watch()
    assert code == 0
    assert "new labels since the champion's last fit; the policy asks for 100" in " ".join(out.split())
    assert versions(client, "watched-two") == 1
    assert client.get_registered_model("watched-two").aliases == {"challenger": "1"}, (
        "nobody asked to promote"
    )


def test_too_few_labels_are_no_error_and_are_tried_again(world, client) -> None:
    world.use(POLICY.format(name="watched-three", retrain="{after_labels: 1}"))
    world.add([True, False], decided_at=1_790_000_000.0)
    code, out, err = world.watch()
    assert (code, err) == (0, "")
    assert "a retrain was due" in out
    assert runs(world) == ()


def test_metrics_grow_in_one_run_of_a_model(world, client) -> None:
    world.add([True] * 30)
    world.add([number % 6 != 0 for number in range(60)], category="refunds", model_version="v 2:x")
    for at in (1_791_000_000.0, 1_792_000_000.0):
        assert world.watch("--mlflow", at=at)[0] == 0
    experiment = client.get_experiment_by_name("trueband-watch")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["trueband.model"] == "leads"
    assert run.info.status == "FINISHED"
    found = run.data.metrics
    (auto,) = (key for key in found if key.startswith("v1/auto/") and key.endswith("/labels"))
    assert found[auto] == 30
    (refunds,) = (
        key for key in found if key.startswith("v 2_x/auto/refunds/") and key.endswith("/ACCURACY/alarm")
    )
    assert found[refunds] == 1
    points = client.get_metric_history(run.info.run_id, auto)
    assert [point.timestamp for point in points] == [1_791_000_000_000, 1_792_000_000_000]
    _, out, _ = world.watch("--json", "--mlflow", at=1_793_000_000.0)
    assert set(json.loads(out)["models"]) == {"leads"}, "MLflow prints nothing in between"
