"""Publication: a calibrator becomes a version in the registry, together with the evidence for it."""

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from calibrators import Calibrator, mlflow_flavor
from sidecar import dialect
from training.registry import promotion, versions
from training.registry.versions import RegistryRefused

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient


OWN_TAGS = (
    dialect.DIGEST_TAG,
    dialect.REVOKED_TAG,
    dialect.KIND_TAG,
    dialect.APPROVED_TAG,
    dialect.MOVE_TAG,
)

EVIDENCE_FOLDER = "evidence"
EXISTS = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")
MOST_METRICS = 500  # MLflow takes a thousand metrics in a batch at most
MOST_PARAMS = 100


def publish(
    calibrator: Calibrator,
    *,
    name: str,
    alias: str | None = None,
    tags: Mapping[str, str] = {},
    metrics: Mapping[str, float] = {},
    params: Mapping[str, object] = {},
    figures: Mapping[str, "Figure"] = {},
    documents: Mapping[str, object] = {},
    description: str = "",
    experiment: str = "trueband",
    by: str | None = None,
    clock: Callable[[], float] = time.time,
) -> str:
    """Registers a calibrator together with its evidence; the new version's number.

    The version carries the document's digest from the moment that it exists, so that no sidecar ever meets
    one that it cannot verify; the alias moves last.

    Args:
        calibrator: the calibrator.
        name: the registered model; it is made where there is none.
        alias: moved to the new version, if given.
        tags: of the version.
        metrics: of the run and the logged model.
        params: of the run.
        figures: by file name; they go to the run's folder `evidence`.
        documents: by file name, likewise: text as it is, anything else as JSON.
        description: of the version; Markdown.
        experiment: where the run goes; it is made where there is none.
        by: who publishes; the user of the operating system by default.
        clock: seconds since the epoch.

    Raises:
        RegistryRefused: a tag is one of ours, or the registry does not do it.
    """
    taken = [key for key in tags if key.startswith(OWN_TAGS)]
    if taken:
        raise RegistryRefused(f"tag {taken[0]} is set by Trueband itself: rename it", code="REQUEST_REFUSED")
    texts = {
        file: content if isinstance(content, str) else json.dumps(content, indent=2)
        for file, content in documents.items()
    }
    registry = versions.client()
    with versions.asking(name):
        run_id = registry.create_run(experiment_id(registry, experiment), run_name=name).info.run_id
        try:
            info = mlflow_flavor.log_model(calibrator, run_id=run_id)
            log_numbers(registry, run_id, metrics, params, at=clock(), model_id=info.model_id)
            for file, figure in figures.items():
                registry.log_figure(run_id, figure, f"{EVIDENCE_FOLDER}/{file}")
            for file, text in texts.items():
                registry.log_text(run_id, text, f"{EVIDENCE_FOLDER}/{file}")
            _make_registered_model(registry, name)
            version = str(
                registry.create_model_version(
                    name,
                    source=info.model_uri,
                    run_id=run_id,
                    model_id=info.model_id,
                    tags={
                        **tags,
                        dialect.DIGEST_TAG: calibrator.digest,
                        dialect.KIND_TAG: calibrator.kind,
                    },
                    description=description or None,
                    await_creation_for=0,
                ).version
            )
        except BaseException:
            registry.set_terminated(run_id, "FAILED")
            raise
        registry.set_terminated(run_id)
        if alias is not None:
            promotion.move(
                registry,
                name,
                alias,
                version,
                kind="publish",
                by=by or versions.person(),
                reason=description,
                clock=clock,
            )
            promotion.keep_previous(registry, name)
    return version


def log_numbers(
    registry: "MlflowClient",
    run_id: str,
    metrics: Mapping[str, float],
    params: Mapping[str, object] | None = None,
    *,
    at: float,
    step: int = 0,
    model_id: str | None = None,
) -> None:
    """Logs metrics and parameters to a run, many together: one by one they would take longer than a fit.

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
    texts = [Param(key, str(value)) for key, value in (params or {}).items()]
    for start in range(0, len(texts), MOST_PARAMS):
        registry.log_batch(run_id, params=texts[start : start + MOST_PARAMS])


def experiment_id(registry: "MlflowClient", name: str) -> str:
    """The id of an experiment, which is made where there is none.

    Raises:
        RegistryRefused: it was deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = registry.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(registry.create_experiment(name))
        except MlflowException as error:
            if error.error_code not in EXISTS:
                raise
            experiment = registry.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage != "active":
        raise RegistryRefused(
            f"the experiment {name} was deleted: restore it in MLflow, or name another",
            code="REQUEST_REFUSED",
        )
    return str(experiment.experiment_id)


def _make_registered_model(registry: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in EXISTS:
            raise
