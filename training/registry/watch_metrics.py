"""What a watch found, as metrics in MLflow: one run for each model, which grows a point with every look."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.registry import versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "trueband-watch"
MODEL_TAG = "trueband.model"

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_./ -]")
_EXISTS = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")
_MOST_AT_ONCE = 500  # MLflow takes a thousand metrics in a batch at most


def log(model: str, metrics: Mapping[str, float], *, at: float) -> str:
    """Adds a point to each of the metrics of a model; the id of the run.

    Args:
        model: the model; its run carries the name as tag `trueband.model`.
        metrics: by key; what is not finite is left out, and what a key cannot hold becomes `_`.
        at: of the points, in seconds since the epoch.

    Raises:
        RegistryRefused: MLflow does not take them.
    """
    from mlflow.entities import Metric

    registry = versions.client()
    points = [
        Metric(_NOT_IN_A_KEY.sub("_", key), value, round(at * 1000), round(at))
        for key, value in metrics.items()
        if math.isfinite(value)
    ]
    with versions.asking(model):
        run_id = _run(registry, model)
        for start in range(0, len(points), _MOST_AT_ONCE):
            registry.log_batch(run_id, metrics=points[start : start + _MOST_AT_ONCE])
        registry.set_terminated(run_id)
    return run_id


def _run(registry: "MlflowClient", model: str) -> str:
    experiment = _experiment(registry)
    found = registry.search_runs([experiment], f"tags.`{MODEL_TAG}` = '{model}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    return str(registry.create_run(experiment, run_name=model, tags={MODEL_TAG: model}).info.run_id)


def _experiment(registry: "MlflowClient") -> str:
    from mlflow.exceptions import MlflowException

    found = registry.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(registry.create_experiment(EXPERIMENT))
        except MlflowException as error:
            if error.error_code not in _EXISTS:
                raise
            found = registry.get_experiment_by_name(EXPERIMENT)  # another process was faster
    if found is None or found.lifecycle_stage != "active":
        raise versions.RegistryRefused(
            f"the experiment {EXPERIMENT} was deleted: restore it in MLflow", code="REQUEST_REFUSED"
        )
    return str(found.experiment_id)
