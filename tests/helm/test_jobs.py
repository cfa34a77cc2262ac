"""What the CronJobs have in common: off by default, bounded, named apart, refused where they could only fail."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

helm = pytest.importorskip("helm_python")

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
JOBS = ("retrain", "watch")


@pytest.fixture(params=JOBS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def accepted(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Values with which a job of the kind is accepted."""
    found: dict[str, Any] = request.getfixturevalue({"retrain": "retraining", "watch": "watching"}[kind])
    return found


def test_off_by_default(render: Callable[..., Any]) -> None:
    assert render({}).kind("CronJob") == []


def test_names_are_valid_and_differ_whatever_the_models_are_called(
    render: Callable[..., Any], accepted: dict[str, Any], kind: str
) -> None:
    models = ["a/b", "a_b", "A-B", "ünïcode", "///", "x" * 200, "x" * 199 + "y", "all"]
    accepted["policy"] = {"existingConfigMap": "policy"}
    accepted[kind]["models"] = models
    for name in ("demo", "a-release-name-that-is-as-long-as-helm-permits-one-tbd"[:53]):
        names = [job["metadata"]["name"] for job in render(accepted, name=name).jobs(kind)]
        assert len(set(names)) == len(models)
        # 52: Kubernetes adds eleven characters for each job.
        assert all(len(name) <= 52 and NAME.fullmatch(name) for name in names), names


def test_names_differ_between_jobs_and_between_releases(
    render: Callable[..., Any], retraining: dict[str, Any]
) -> None:
    names = [
        job["metadata"]["name"]
        for watched in ([], ["lead-classifier"])
        for release in ("the-leads-of-region-one", "the-leads-of-region-two")
        for job in render({**retraining, "watch": {"enabled": True, "models": watched}}, name=release).jobs(
            *JOBS
        )
    ]
    assert len(names) == 8
    assert len(set(names)) == 6  # the retrain of each release stands twice


def test_a_job_is_bounded(release: Any) -> None:
    for kind in JOBS:
        wanted = release.values[kind]
        for job in release.jobs(kind):
            spec, inner = job["spec"], job["spec"]["jobTemplate"]["spec"]
            assert spec["concurrencyPolicy"] == "Forbid"
            assert spec["startingDeadlineSeconds"] == wanted["startingDeadlineSeconds"] > 0
            assert spec["timeZone"] == wanted["timeZone"]
            assert spec["schedule"] == wanted["schedule"]
            assert spec["suspend"] is wanted["suspend"]
            assert inner["activeDeadlineSeconds"] == wanted["activeDeadlineSeconds"] > 0
            assert inner["backoffLimit"] <= 1
            assert inner["ttlSecondsAfterFinished"] == 604800
            assert release.pod(job)["restartPolicy"] == "Never"
            assert release.pod(job)["containers"][0]["resources"] == wanted["resources"]


def test_a_job_has_policy_and_ledger_and_no_key(release: Any) -> None:
    sidecar = release.environment(release.sidecar)
    for job in release.jobs(*JOBS):
        container = release.pod(job)["containers"][0]
        found = release.environment(container)
        for name in ("TRUEBAND_POLICY", "TRUEBAND_LEDGER_URL", "MLFLOW_TRACKING_URI"):
            assert found.get(name) == sidecar.get(name)
        assert {"/etc/trueband", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
        # What only the service needs stays with it.
        assert not {"TRUEBAND_DECISION_KEY", "TRUEBAND_AUDIT_KEYS"} & set(found)


def test_a_job_may_have_a_registry_credential_of_its_own(
    render: Callable[..., Any], accepted: dict[str, Any], kind: str
) -> None:
    release = render(accepted)
    own = release.environment(release.pod(release.jobs(kind)[0])["containers"][0])
    assert own["MLFLOW_TRACKING_PASSWORD"] == {"secretKeyRef": {"name": "mlflow-write", "key": "password"}}
    assert "MLFLOW_TRACKING_TOKEN" not in own
    del accepted["training"]["mlflow"]
    release = render(accepted)
    shared = release.environment(release.pod(release.jobs(kind)[0])["containers"][0])
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
    refusal: Callable[..., str], accepted: dict[str, Any], url: str
) -> None:
    accepted["ledger"] = {"url": url}
    assert "/ledger/url" in refusal(accepted)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres.data/trueband",
        "postgresql+psycopg://trueband@10.0.0.7:5432/trueband?sslmode=verify-full",
        "postgresql+psycopg://trueband@[fd00::7]:5432/trueband",
        "postgresql://localhost-proxy.data/trueband",
    ],
)
def test_accepted_with_one(render: Callable[..., Any], accepted: dict[str, Any], kind: str, url: str) -> None:
    accepted["ledger"] = {"url": url}
    release = render(accepted)
    (job,) = release.jobs(kind)
    assert release.environment(release.pod(job)["containers"][0])["TRUEBAND_LEDGER_URL"] == url


def test_a_secret_may_hold_the_url(render: Callable[..., Any], accepted: dict[str, Any], kind: str) -> None:
    accepted["ledger"] = {"existingSecret": {"name": "ledger"}}
    release = render(accepted)
    found = release.environment(release.pod(release.jobs(kind)[0])["containers"][0])["TRUEBAND_LEDGER_URL"]
    assert found == {"secretKeyRef": {"name": "ledger", "key": "url"}}


def test_refused_with_two_places_for_the_url(refusal: Callable[..., str], accepted: dict[str, Any]) -> None:
    accepted["ledger"]["existingSecret"] = {"name": "ledger"}
    assert "/ledger/url" in refusal(accepted)


@pytest.mark.parametrize("models", [["a", "a"], [""], ["--help"]])
def test_refused_without_proper_models(
    refusal: Callable[..., str], accepted: dict[str, Any], kind: str, models: list[str]
) -> None:
    accepted[kind]["models"] = models
    assert f"/{kind}/models" in refusal(accepted)


def test_refused_for_a_model_that_the_policy_does_not_have(
    render: Callable[..., Any], accepted: dict[str, Any], kind: str
) -> None:
    accepted[kind]["models"] = ["misspelt"]
    with pytest.raises(helm.HelmRenderError, match=rf'{kind}\.models names "misspelt".*it has: [il]'):
        render(accepted)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", "every night"),
        ("schedule", "CRON_TZ=UTC 0 3 * * *"),
        ("concurrencyPolicy", "Allow"),
        ("backoffLimit", 50),
        ("startingDeadlineSeconds", 5),
        ("activeDeadlineSeconds", 0),
        ("resources", {"limits": {"memory": "1Gi"}, "requests": None}),
        ("extraEnv", [{"name": "PGPASSWORD", "value": "hunter2"}]),
    ],
)
def test_refused_with_odd_settings(
    refusal: Callable[..., str], accepted: dict[str, Any], kind: str, key: str, value: Any
) -> None:
    changed = copy.deepcopy(accepted)
    changed[kind][key] = value
    assert f"/{kind}/{key}" in refusal(changed) or f"'{key}' not allowed" in refusal(changed)


@pytest.mark.parametrize(
    ("key", "value"), [("scratchSize", "big"), ("extraVolumes", [{"name": "trueband-job-scratch"}])]
)
def test_refused_with_odd_surroundings(refusal: Callable[..., str], key: str, value: Any) -> None:
    assert f"/training/{key}" in refusal({"training": {key: value}})
