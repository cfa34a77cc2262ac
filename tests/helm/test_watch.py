"""The watch CronJob: what it asks for, what it refuses, and what the sidecar beside it has."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from training import cli

helm = pytest.importorskip("helm_python")


def command(release: Any) -> list[str]:
    (job,) = release.jobs("watch")
    found: list[str] = release.pod(job)["containers"][0]["command"]
    return found


def policy(**keys: Any) -> dict[str, Any]:
    """Values with a policy whose one model has these keys, too."""
    model = {"calibrator": "file:/none.json", "evidence": "score", **keys}
    return {"document": json.dumps({"version": 1, "models": {"m": model}})}


def test_one_job_for_all_models_or_one_for_each(release: Any) -> None:
    watch = release.values["watch"]
    jobs = release.jobs("watch")
    assert len(jobs) == (len(watch["models"]) or 1 if watch["enabled"] else 0)
    for model, job in zip(watch["models"] or [""], jobs, strict=False):
        assert job["metadata"].get("annotations", {}) == ({"trueband/model": model} if model else {})
        found = release.pod(job)["containers"][0]["command"]
        assert found[:4] == ["python", "-m", "training", "watch"]
        assert found[4:6] == (["--model", model] if model else found[4:6])
        assert ("--model" in found) is bool(model)
        assert ("--fail-on-alarm" in found) is watch["failOnAlarm"]
        assert ("--mlflow" in found) is watch["logToMlflow"]
        assert ("--no-retrain" in found) is not watch["retrain"]
        assert found[len(found) - len(watch["extraArgs"]) :] == watch["extraArgs"]


def test_the_command_line_takes_what_is_rendered(release: Any) -> None:
    for job in release.jobs("watch", "retrain"):
        arguments = cli.parser().parse_args(release.pod(job)["containers"][0]["command"][3:])
        assert callable(arguments.run)


def test_an_alarm_is_not_retried(release: Any) -> None:
    for job in release.jobs("watch"):
        inner = job["spec"]["jobTemplate"]["spec"]
        if not release.values["watch"]["failOnAlarm"]:
            assert "podFailurePolicy" not in inner
            continue
        (rule,) = inner["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"] == {"containerName": "watch", "operator": "In", "values": [3]}
        assert "watch" in {container["name"] for container in release.pod(job)["containers"]}
    for job in release.jobs("retrain"):
        assert "podFailurePolicy" not in job["spec"]["jobTemplate"]["spec"]


def test_the_sidecar_beside_a_watch_has_the_ledger_but_no_key_and_no_registry(release: Any) -> None:
    for job in release.jobs("watch"):
        if not release.values["watch"]["sidecar"]["enabled"]:
            assert "initContainers" not in release.pod(job)
            continue
        (beside,) = release.pod(job)["initContainers"]
        deployed = release.environment(release.sidecar)
        kept_back = ("TRUEBAND_DECISION_KEY", "TRUEBAND_AUDIT_KEYS")
        left = {k: v for k, v in deployed.items() if k not in kept_back and not k.startswith("MLFLOW_")}
        assert release.environment(beside) == left
        assert {**beside, "env": None} == {**release.sidecar, "env": None}
        watch = release.pod(job)["containers"][0]
        assert release.environment(watch)["TRUEBAND_ADDRESS"] == left["TRUEBAND_LISTEN"]
        assert (
            release.pod(job)["terminationGracePeriodSeconds"]
            == release.server["terminationGracePeriodSeconds"]
        )
        # Each has a /tmp of its own: two processes share no scratch file.
        scratch = [
            mount["name"]
            for container in (beside, watch)
            for mount in container["volumeMounts"]
            if mount["mountPath"] == "/tmp"
        ]
        assert len(set(scratch)) == 2


def test_the_token_comes_from_a_secret(release: Any) -> None:
    for job in release.jobs("watch"):
        found = release.environment(release.pod(job)["containers"][0])
        secret = release.values["watch"]["token"]["existingSecret"]
        assert found.get("TRUEBAND_TOKEN") == ({"secretKeyRef": secret} if secret["name"] else None)


def test_a_sidecar_with_principals_needs_a_token(
    render: Callable[..., Any], refusal: Callable[..., str], watching: dict[str, Any]
) -> None:
    watching["tests"] = {"enabled": False}
    watching["principals"] = {"existingSecret": {"name": "principals"}}
    assert "/watch/token/existingSecret/name" in refusal(watching)
    watching["watch"]["token"] = {"existingSecret": {"name": "watch-token"}}
    assert render(watching).jobs("watch")


def test_metrics_need_a_registry_that_another_pod_can_reach(
    render: Callable[..., Any], refusal: Callable[..., str], watching: dict[str, Any]
) -> None:
    watching["watch"] = {"enabled": True, "retrain": False, "logToMlflow": True}
    watching["policy"] = policy()
    assert "--mlflow" in command(render(watching))
    for uri in ("", "http://localhost:5000"):
        watching["mlflow"] = {"trackingUri": uri}
        assert "/mlflow/trackingUri" in refusal(watching)
    watching["watch"]["logToMlflow"] = False
    assert "--mlflow" not in command(render(watching))


HOLD = [{"name": "auto", "from": 0, "action": "AUTO_ROUTE", "on_breach": "hold"}]


@pytest.mark.parametrize("keys", [{"bands": HOLD}, {"categories": {"a": None, "b": {"bands": HOLD}}}])
def test_a_policy_that_holds_needs_a_sidecar_to_do_it(
    render: Callable[..., Any], watching: dict[str, Any], keys: dict[str, Any]
) -> None:
    watching["policy"] = policy(**keys)
    assert render(watching).jobs("watch")
    watching["watch"]["sidecar"] = {"enabled": False}
    with pytest.raises(
        helm.HelmRenderError, match=r"on_breach: hold \(model m\).*set watch\.sidecar\.enabled"
    ):
        render(watching)
    watching["policy"] = policy()
    assert render(watching).jobs("watch")


def test_what_the_chart_cannot_see_is_in_the_notes(
    render: Callable[..., Any], watching: dict[str, Any]
) -> None:
    watching["policy"] = {"existingConfigMap": "somebody-elses"}
    assert "on_breach: hold" not in render(watching).notes
    watching["watch"]["sidecar"] = {"enabled": False}
    assert "if the policy in somebody-elses says `on_breach: hold`" in render(watching).notes


@pytest.mark.parametrize("retrain", [{"on_alarm": True}, {"after_labels": 100}, {"after": "30d"}])
@pytest.mark.parametrize("uri", ["", "http://localhost:5000", "https://[::1]/"])
def test_a_policy_that_asks_for_retrains_needs_a_registry(
    render: Callable[..., Any], watching: dict[str, Any], retrain: dict[str, Any], uri: str
) -> None:
    watching["policy"] = policy(retrain=retrain)
    assert "--no-retrain" not in command(render(watching))
    watching["mlflow"] = {"trackingUri": uri}
    with pytest.raises(helm.HelmRenderError, match=r"asks the watch for retrains \(model m\)"):
        render(watching)
    watching["watch"]["retrain"] = False
    assert "--no-retrain" in command(render(watching))
    watching["watch"]["retrain"] = True
    watching["policy"] = policy(retrain={"undrawn_labels": True})
    assert render(watching).jobs("watch")
