"""Values that the chart refuses, and that the schema knows exactly the values that there are."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

helm = pytest.importorskip("helm_python")

DIGEST = "sha256:" + "0" * 64


def nested(path: str, value: Any) -> dict[str, Any]:
    """`nested("a.b", 1)` is `{"a": {"b": 1}}`."""
    for key in reversed(path.split(".")):
        value = {key: value}
    found: dict[str, Any] = value
    return found


def closed_objects(schema: dict[str, Any], node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of the values whose keys the schema lists, with its path (forbidden keys do not count)."""
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]]
    if any(node.get("properties", {}).values()):
        yield path, node
        for key, child in node["properties"].items():
            yield from closed_objects(schema, child, f"{path}.{key}".lstrip("."))


@pytest.fixture(scope="module")
def schema(chart_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((chart_path / "values.schema.json").read_text())
    return found


def test_the_schema_and_the_values_name_the_same_keys(chart_path: Path, schema: dict[str, Any]) -> None:
    defaults = yaml.safe_load((chart_path / "values.yaml").read_text())
    optional = {"podSecurityContext": {"supplementalGroups"}, "": {"global"}}
    seen = 0
    for path, node in closed_objects(schema, schema):
        if path.endswith(".resources") or path == "podSecurityContext.seccompProfile":
            continue  # Kubernetes' own objects, of which the values set some
        at: Any = defaults
        for key in filter(None, path.split(".")):
            at = at[key]
        assert set(node["properties"]) - optional.get(path, set()) == set(at), path
        assert node["additionalProperties"] is False, path
        seen += 1
    assert seen >= 25


def test_no_object_is_left_open_by_accident(schema: dict[str, Any]) -> None:
    """Open are Kubernetes' own objects, which its API server checks, and labels, which are free."""
    opened = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            lists_keys = node.get("type") == "object" and any(node.get("properties", {}).values())
            if lists_keys and node.get("additionalProperties") is not False:
                opened.append(path)
            for key, child in node.items():
                walk(child, f"{path}/{key}")

    walk(schema, "")
    assert sorted(opened) == ["/definitions/volumeMounts/items", "/definitions/volumes/items"]


def test_an_unknown_key_is_refused_at_every_level(
    refusal: Callable[..., str], schema: dict[str, Any]
) -> None:
    for path, _ in closed_objects(schema, schema):
        values = nested(f"{path}.misspelt".lstrip("."), 1)
        assert "'misspelt' not allowed" in refusal(values), path


@pytest.mark.parametrize(
    "values",
    [
        nested("decisionKey", "0123abcd"),
        nested("decisionKey.value", "0123abcd"),
        nested("decisionKey.existingSecret", "0123abcd"),
        nested("decisionKey.existingSecret.value", "0123abcd"),
        nested("auditKeys", {"k1": "0123abcd"}),
        nested("auditKeys.existingSecret.data", "0123abcd"),
        nested("mlflow.password", "hunter2"),
        nested("mlflow.token", "hunter2"),
        nested("mlflow.existingSecret.password", "hunter2"),
        nested("mlflow.trackingUri", "https://user:hunter2@mlflow.example.com"),
        nested("mlflow.trackingUri", "https://hunter2@mlflow.example.com"),
        nested("ledger.password", "hunter2"),
        nested("principals", [{"name": "ada"}]),
        nested("principals.document", "principals: []"),
        nested("watch.token", "hunter2"),
        nested("tests.token.existingSecret", "hunter2"),
        nested("training.extraEnv", [{"name": "TRUEBAND_TOKEN", "value": "hunter2"}]),
        nested("ledger.url", "postgresql://trueband:hunter2@db/trueband"),
        nested("ledger.url", "postgresql://trueband:hun/ter2@db/trueband"),
        nested("ledger.url", "postgresql://db/trueband?user=x&password=hunter2"),
        *(
            nested(f"{place}.extraEnv", [{"name": name, "value": "hunter2"}])
            for place in ("sidecar", "modelServer", "training")
            for name in (
                "PGPASSWORD",
                "AWS_SECRET_ACCESS_KEY",
                "HF_TOKEN",
                "db_password",
                "OPENAI_API_KEY",
                "DB_PASS",
            )
        ),
        nested("sidecar.extraEnv", [{"name": "HTTPS_PROXY", "value": "http://user:hunter2@proxy:3128"}]),
        nested(
            "sidecar.extraEnv",
            [{"name": "PGPASSWORD", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
        ),
    ],
    ids=lambda values: json.dumps(values)[:70],
)
def test_a_secret_cannot_be_written_down(refusal: Callable[..., str], values: dict[str, Any]) -> None:
    assert refusal(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sidecar.api.mode", "tcp"),
        ("sidecar.api.port", 0),
        ("sidecar.api.address", "0.0.0.0"),
        ("sidecar.health.address", "127.0.0.1"),
        ("sidecar.health.port", 80),
        ("sidecar.health.port", "50052"),
        ("sidecar.metrics.address", "10.0.0.1"),
        ("sidecar.image.repository", "registry.example.com/trueband:latest"),
        ("sidecar.image.digest", "sha256:123"),
        ("sidecar.image.pullPolicy", "Sometimes"),
        ("sidecar.logLevel", "chatty"),
        ("sidecar.pollIntervalSeconds", 0),
        ("sidecar.journalMaxBytes", "512Mi"),
        ("sidecar.readyWithoutCalibrator", "yes"),
        ("sidecar.resources.requests", None),
        ("sidecar.resources.requests.cpu", None),
        ("sidecar.securityContext", {"privileged": True}),
        ("sidecar.command", ["sh"]),
        ("sidecar.extraEnv", [{"name": "TRUEBAND_LISTEN", "value": "0.0.0.0:50051"}]),
        ("sidecar.extraEnv", [{"name": "TRUEBAND_FLOORS", "value": "/none"}]),
        ("sidecar.extraEnv", [{"name": "TRUEBAND_PRINCIPALS", "value": "/none"}]),
        ("sidecar.extraEnv", [{"name": "A"}]),
        ("sidecar.extraEnv", [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]),
        ("sidecar.extraVolumeMounts", [{"name": "a", "mountPath": "/etc/trueband"}]),
        ("sidecar.extraVolumeMounts", [{"name": "a", "mountPath": "/etc/trueband-principals"}]),
        ("extraVolumes", [{"name": "trueband-data", "emptyDir": {}}]),
        ("podSecurityContext.runAsNonRoot", False),
        ("podSecurityContext.runAsNonRoot", None),
        ("podSecurityContext.runAsUser", 0),
        ("podSecurityContext.sysctls", []),
        ("policy.document", ""),
        ("policy.document", {"version": 1}),
        ("policy.existingConfigMap", "Not_A_Name"),
        ("floors.existingConfigMap", "Not_A_Name"),
        ("floors.document", {"version": 1}),
        ("floors", {"existingConfigMap": "floors", "document": "version: 1"}),
        ("principals.existingSecret", {"name": "principals", "key": ""}),
        ("data.size", "2G"),
        ("data.size", 2),
        ("data.persistence.accessMode", "ReadOnlyMany"),
        ("ledger.url", "mysql://db/trueband"),
        ("mlflow.trackingUri", "sqlite:///mlflow.db"),
        ("mlflow.existingSecret", {"name": "mlflow"}),
        ("mlflow.existingSecret", {"name": "mlflow", "usernameKey": "user"}),
        ("commonLabels", {"app.kubernetes.io/name": "other"}),
        ("commonLabels", {"team": "not a label!"}),
        ("podLabels", {"app.kubernetes.io/component": "other"}),
        ("modelServer.port", 70000),
        ("terminationGracePeriodSeconds", 5),
        ("replicaCount", -1),
        ("service.type", "ExternalName"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(refusal: Callable[..., str], path: str, value: Any) -> None:
    assert path.split(".")[0] in refusal(nested(path, value))


def test_several_pods_need_one_ledger_and_the_same_keys(
    render: Callable[..., Any], refusal: Callable[..., str]
) -> None:
    keys = {"existingSecret": {"name": "keys"}}
    values = {
        "replicaCount": 2,
        "decisionKey": keys,
        "auditKeys": keys,
        "ledger": {"url": "postgresql://db.data/t"},
    }
    assert render(values).one("Deployment")["spec"]["replicas"] == 2
    for missing in ("decisionKey", "auditKeys", "ledger"):
        assert f"/{missing}" in refusal({key: value for key, value in values.items() if key != missing})
    assert "/replicaCount" in refusal({**values, "data": {"persistence": {"enabled": True}}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (nested("policy.document", "version: 1\nmodels: [\n"), "policy.document is not YAML"),
        (nested("policy.document", "models: {a: {}}"), "needs `version: 1`"),
        (nested("policy.document", "version: 1\nmodels: {}"), "at least one model"),
        (nested("policy.document", "version: 1\nmodels: [a]"), "at least one model"),
        (nested("floors.document", "version: 1\nmodels: [\n"), "floors.document is not YAML"),
        (nested("floors.document", "mandatory_categories: [a]"), "floors.document needs `version: 1`"),
        (nested("sidecar.metrics.port", 8080), "modelServer.port and sidecar.metrics.port are both 8080"),
        (nested("sidecar.metrics.port", 50052), "sidecar.metrics.port are both 50052"),
        (nested("sidecar.api", {"mode": "loopback", "port": 9464}), "sidecar.api.port are both 9464"),
        (nested("data.size", "512Mi"), "journalMaxBytes (536870912) is more than half of data.size (512Mi)"),
        (nested("sidecar.drainSeconds", 26), "must be at least 2 x sidecar.drainSeconds + 10 = 62"),
    ],
)  # fmt: skip
def test_values_that_contradict_one_another_are_refused_by_name(
    render: Callable[..., Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(helm.HelmRenderError) as caught:
        render(values)
    assert message in str(caught.value)


def test_what_does_not_collide_is_let_through(render: Callable[..., Any]) -> None:
    """A port that is not in use collides with nothing, and half of the volume is enough."""
    render(nested("sidecar.metrics", {"enabled": False, "port": 8080}))
    render(nested("sidecar.api", {"mode": "socket", "port": 9464}))
    render(nested("data.size", "1Gi"))
