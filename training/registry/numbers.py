"""Numbers of a run, sent together: one by one they would take longer than the fit that they are about."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_METRICS = 500  # MLflow takes a thousand metrics in a batch at most
MOST_PARAMS = 100


def log(
    registry: "MlflowClient",
    run_id: str,
    metrics: Mapping[str, float],
    params: Mapping[str, object] | None = None,
    *,
    at: float,
    step: int = 0,
    model_id: str | None = None,
) -> None:
    """Logs metrics and parameters to a run.

    Args:
        registry: MLflow's client.
        run_id: of the run.
        metrics: by key.
        params: by key.
        at: of the metrics, in seconds since the epoch.
        step: of the metrics.
        model_id: of the logged model that they are about, too.
    """
    from mlflow.entities import Metric, Param

    points = [
        Metric(key, float(value), round(at * 1000), step, model_id=model_id) for key, value in metrics.items()
    ]
    for start in range(0, len(points), MOST_METRICS):
        registry.log_batch(run_id, metrics=points[start : start + MOST_METRICS])
    given = [Param(key, str(value)) for key, value in (params or {}).items()]
    for start in range(0, len(given), MOST_PARAMS):
        registry.log_batch(run_id, params=given[start : start + MOST_PARAMS])
