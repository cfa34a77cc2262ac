"""The retrain CronJobs: one for each model, refused where they could only fail."""

from collections.abc import Callable
from typing import Any

import pytest


def test_one_job_for_each_model(release: Any) -> None:
    jobs = release.jobs("retrain")
    retrain = release.values["retrain"]
    assert len(jobs) == (len(retrain["models"]) if retrain["enabled"] else 0)
    for model, job in zip(retrain["models"], jobs, strict=False):
        command = ["python", "-m", "training", "retrain", "--model", model]
        command += ["--promote"] if retrain["promote"] else []
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["command"] == command + retrain["extraArgs"]
        assert "initContainers" not in pod
        assert job["metadata"]["annotations"]["trueband/model"] == model


def test_refused_without_a_model(refusal: Callable[..., str], retraining: dict[str, Any]) -> None:
    retraining["retrain"]["models"] = []
    assert "/retrain/models" in refusal(retraining)


@pytest.mark.parametrize("uri", ["", "http://localhost:5000", "http://127.0.0.1:5000", "https://[::1]/"])
def test_refused_without_a_registry_that_another_pod_can_reach(
    refusal: Callable[..., str], retraining: dict[str, Any], uri: str
) -> None:
    retraining["mlflow"] = {"trackingUri": uri}
    assert "/mlflow/trackingUri" in refusal(retraining)
