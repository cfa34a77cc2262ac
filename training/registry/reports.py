"""Logs a band report to MLflow: a run for each version of a model, so that its numbers can be followed there."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.registry import publication, versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "trueband-report"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRun:
    """What goes into one run.

    Attributes:
        name: of the run.
        params: what it is about.
        metrics: the numbers, by names that MLflow takes (letters, digits, `_ - . / ` and space).
        figures: by file name.
    """

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    figures: "Mapping[str, Figure]"


def is_configured() -> bool:
    """Whether the environment names a tracking server, so that a report is logged without being asked to."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def log(
    runs: "list[ReportRun]", documents: Mapping[str, str], *, clock: Callable[[], float] = time.time
) -> list[str]:
    """Logs the runs of a report; their ids.

    Args:
        runs: one for each version of a model.
        documents: texts by file name, which every run gets: the report is one.
        clock: seconds since the epoch.

    Raises:
        RegistryRefused: the tracking server does not do it.
    """
    # A server that is away would hold up the report for minutes.
    registry = versions.client(seconds=30, retries=1)
    run_ids = []
    for run in runs:
        with versions.asking(run.name):
            experiment = publication.experiment_id(registry, EXPERIMENT)
            run_id = registry.create_run(experiment, run_name=run.name).info.run_id
            try:
                publication.log_numbers(registry, run_id, run.metrics, run.params, at=clock())
                for file, text in documents.items():
                    registry.log_text(run_id, text, file)
                for file, figure in run.figures.items():
                    registry.log_figure(run_id, figure, file)
            except BaseException:
                registry.set_terminated(run_id, "FAILED")
                raise
            registry.set_terminated(run_id)
        run_ids.append(run_id)
    return run_ids
