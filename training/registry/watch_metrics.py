"""What a watch found, as metrics in MLflow: one run for each model, which grows a point with every look."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.registry import publication, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "trueband-watch"
MODEL_TAG = "trueband.model"

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_./ -]")


def log(model: str, metrics: Mapping[str, float], *, at: float) -> str:
    """Adds a point to each of the metrics of a model; the id of the run.

    Args:
        model: the model; its run carries the name as tag `trueband.model`.
        metrics: by key; what is not finite is left out, and what a key cannot hold becomes `_`.
        at: of the points, in seconds since the epoch.

    Raises:
        RegistryRefused: MLflow does not take them.
    """
    registry = versions.client()
    points = {_NOT_IN_A_KEY.sub("_", key): value for key, value in metrics.items() if math.isfinite(value)}
    with versions.asking(model):
        run_id = _run(registry, model)
        publication.log_numbers(registry, run_id, points, at=at, step=round(at))
        registry.set_terminated(run_id)
    return run_id


def _run(registry: "MlflowClient", model: str) -> str:
    experiment = publication.experiment_id(registry, EXPERIMENT)
    found = registry.search_runs([experiment], f"tags.`{MODEL_TAG}` = '{model}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    return str(registry.create_run(experiment, run_name=model, tags={MODEL_TAG: model}).info.run_id)
