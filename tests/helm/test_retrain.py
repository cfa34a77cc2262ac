"""The retrain CronJob: off by default, and refused where it could only fail."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

helm = pytest.importorskip("helm_python")

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(job: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(job)["env"]}


def test_off_by_default(render: Callable[..., Any]) -> None:
    assert render({}).kind("CronJob") == []


def test_one_job_for_each_model(release: Any) -> None:
    jobs = release.kind("CronJob")
    retrain = release.values["retrain"]
    assert len(jobs) == (len(retrain["models"]) if retrain["enabled"] else 0)
    for model, job in zip(retrain["models"], jobs, strict=False):
        command = ["python", "-m", "training", "retrain", "--model", model]
        command += ["--promote"] if retrain["promote"] else []
        assert container(job)["command"] == command + retrain["extraArgs"]
        assert job["metadata"]["annotations"]["trueband/model"] == model


def test_names_are_valid_and_differ_whatever_the_models_are_called(
    render: Callable[..., Any], retraining: dict[str, Any]
) -> None:
    models = ["a/b", "a_b", "A-B", "ünïcode", "///", "x" * 200, "x" * 199 + "y"]
    retraining["policy"] = {"existingConfigMap": "policy"}
    retraining["retrain"]["models"] = models
    for name in ("demo", "a-release-name-that-is-as-long-as-helm-permits-one-tbd"[:53]):
        names = [job["metadata"]["name"] for job in render(retraining, name=name).kind("CronJob")]
        assert len(set(names)) == len(models)
        # 52: Kubernetes adds eleven characters for each job.
        assert all(len(name) <= 52 and NAME.fullmatch(name) for name in names), names


def test_a_job_is_bounded(release: Any) -> None:
    retrain = release.values["retrain"]
    for job in release.kind("CronJob"):
        spec, inner = job["spec"], job["spec"]["jobTemplate"]["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] == retrain["startingDeadlineSeconds"] > 0
        assert spec["timeZone"] == retrain["timeZone"]
        assert spec["schedule"] == retrain["schedule"]
        assert spec["suspend"] is retrain["suspend"]
        assert inner["activeDeadlineSeconds"] == retrain["activeDeadlineSeconds"] > 0
        assert inner["backoffLimit"] <= 1
        assert inner["ttlSecondsAfterFinished"] == 604800
        assert inner["template"]["spec"]["restartPolicy"] == "Never"


def test_the_job_has_policy_ledger_and_registry(release: Any) -> None:
    sidecar = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in release.sidecar["env"]}
    for job in release.kind("CronJob"):
        found = variables(job)
        for name in ("TRUEBAND_POLICY", "TRUEBAND_LEDGER_URL", "MLFLOW_TRACKING_URI"):
            assert found[name] == sidecar[name]
        mounts = {mount["mountPath"] for mount in container(job)["volumeMounts"]}
        assert {"/etc/trueband", "/tmp"} <= mounts
        # What only the service needs stays with it.
        assert not {"TRUEBAND_DECISION_KEY", "TRUEBAND_AUDIT_KEYS"} & set(found)


def test_the_job_may_have_a_registry_credential_of_its_own(
    render: Callable[..., Any], retraining: dict[str, Any]
) -> None:
    own = variables(render(retraining).one("CronJob"))
    assert own["MLFLOW_TRACKING_PASSWORD"] == {"secretKeyRef": {"name": "mlflow-write", "key": "password"}}
    assert "MLFLOW_TRACKING_TOKEN" not in own
    del retraining["retrain"]["mlflow"]
    shared = variables(render(retraining).one("CronJob"))
    assert shared["MLFLOW_TRACKING_TOKEN"] == {"secretKeyRef": {"name": "mlflow-read", "key": "token"}}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:////var/lib/trueband/ledger.db",
        "sqlite+pysqlite:///ledger.db",
        "sqlite://",
        "postgresql://localhost/trueband",
        "postgresql+psycopg://trueband@127.0.0.1:5432/trueband",
        "postgresql://trueband@[::1]/trueband",
        "postgresql://0.0.0.0/trueband",
        "postgresql:///trueband?host=/var/run/postgresql",
        "mysql://db/trueband",
        "postgres.data:5432",
    ],
)
def test_refused_without_a_ledger_that_another_pod_can_reach(
    refusal: Callable[..., str], retraining: dict[str, Any], url: str
) -> None:
    retraining["ledger"] = {"url": url}
    assert "/ledger/url" in refusal(retraining)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres.data/trueband",
        "postgresql+psycopg://trueband@10.0.0.7:5432/trueband?sslmode=verify-full",
        "postgresql+psycopg://trueband@[fd00::7]:5432/trueband",
        "postgresql://localhost-proxy.data/trueband",
    ],
)
def test_accepted_with_one(render: Callable[..., Any], retraining: dict[str, Any], url: str) -> None:
    retraining["ledger"] = {"url": url}
    assert variables(render(retraining).one("CronJob"))["TRUEBAND_LEDGER_URL"] == url


def test_a_secret_may_hold_the_url(render: Callable[..., Any], retraining: dict[str, Any]) -> None:
    retraining["ledger"] = {"existingSecret": {"name": "ledger"}}
    found = variables(render(retraining).one("CronJob"))["TRUEBAND_LEDGER_URL"]
    assert found == {"secretKeyRef": {"name": "ledger", "key": "url"}}


def test_refused_with_two_places_for_the_url(refusal: Callable[..., str], retraining: dict[str, Any]) -> None:
    retraining["ledger"]["existingSecret"] = {"name": "ledger"}
    assert "/ledger/url" in refusal(retraining)


@pytest.mark.parametrize("uri", ["", "http://localhost:5000", "http://127.0.0.1:5000", "https://[::1]/"])
def test_refused_without_a_registry_that_another_pod_can_reach(
    refusal: Callable[..., str], retraining: dict[str, Any], uri: str
) -> None:
    retraining["mlflow"] = {"trackingUri": uri}
    assert "/mlflow/trackingUri" in refusal(retraining)


@pytest.mark.parametrize("models", [[], ["a", "a"], [""], ["--help"]])
def test_refused_without_proper_models(
    refusal: Callable[..., str], retraining: dict[str, Any], models: list[str]
) -> None:
    retraining["retrain"]["models"] = models
    assert "/retrain/models" in refusal(retraining)


def test_refused_for_a_model_that_the_policy_does_not_have(
    render: Callable[..., Any], retraining: dict[str, Any]
) -> None:
    retraining["retrain"]["models"] = ["lead-clasifier"]
    with pytest.raises(helm.HelmRenderError, match=r'"lead-clasifier".*it has: lead-classifier'):
        render(retraining)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", "every night"),
        ("schedule", "CRON_TZ=UTC 0 3 * * *"),
        ("concurrencyPolicy", "Allow"),
        ("backoffLimit", 50),
        ("startingDeadlineSeconds", 5),
        ("activeDeadlineSeconds", 0),
        ("scratchSize", "big"),
        ("extraEnv", [{"name": "PGPASSWORD", "value": "hunter2"}]),
    ],
)
def test_refused_with_odd_settings(
    refusal: Callable[..., str], retraining: dict[str, Any], key: str, value: Any
) -> None:
    values = copy.deepcopy(retraining)
    values["retrain"][key] = value
    assert f"/retrain/{key}" in refusal(values) or f"'{key}' not allowed" in refusal(values)
