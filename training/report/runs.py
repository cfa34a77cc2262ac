"""What of a report goes to MLflow: a run for each version of a model, with numbers that can be followed."""

import math
import re
from collections.abc import Iterator

from training.registry.reports import ReportRun
from training.report import page, wording
from training.report.content import ModelReport, Report, VersionReport
from training.report.rows import Row

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_\-. /]+")
MOST_PARAM = 500


def of(report: Report) -> list[ReportRun]:
    """The runs of a report; a model without a decision in the window has none."""
    return [
        ReportRun(
            name=f"{model.model} {wording.version(version.version)}",
            params=_params(report, model, version),
            metrics=dict(_metrics(version)),
            figures={f"{name}.png": figure for name, figure in page.figures_of(model, version).items()},
        )
        for model in report.models
        for version in model.versions
    ]


def _params(report: Report, model: ModelReport, version: VersionReport) -> dict[str, str]:
    given = {
        "model": model.model,
        "model_version": wording.version(version.version),
        "mode": model.mode,
        "window": wording.window(report.window),
        "as_of": wording.moment(report.window.as_of),
        "policy_digest": report.policy_digest,
        "floors_digest": report.floors_digest or "none",
        "resolution_version": str(report.resolution_version),
    }
    return {key: value[:MOST_PARAM] for key, value in given.items()}


def _metrics(version: VersionReport) -> Iterator[tuple[str, float]]:
    found = version.tables
    for row in (found.answers, found.acted, *found.bands, *found.categories, *found.cells):
        for key, value in _of_row(row):
            if value is not None and math.isfinite(value):
                yield f"{_prefix(row)}/{key}", value
    for prefix, given in (("all", version.calibration), ("acted", version.acting)):
        if given.evaluation is not None:
            measured = given.evaluation
            for key in ("ece", "mcb", "dsc", "unc", "brier", "log_loss"):
                yield f"calibration/{prefix}/{key}", float(getattr(measured, key))
    mandatory = version.mandatory
    yield "mandatory/decisions", float(mandatory.decisions)
    yield "mandatory/acted", float(mandatory.acted)
    if mandatory.leak.value is not None:
        yield "mandatory/leak_rate", mandatory.leak.value


def _of_row(row: Row) -> Iterator[tuple[str, float | None]]:
    estimate, verdict = row.estimate, row.verdict
    yield "decisions", float(row.decisions)
    yield "labels", float(estimate.labels)
    yield "labels_effective", estimate.n_effective
    yield "accuracy", estimate.value
    if row.interval is not None:
        low, high = row.interval
        yield "accuracy_low", low
        yield "accuracy_high", high
    yield "answered_share", row.maturity.share
    yield "mean_confidence", row.mean_confidence
    if verdict is not None:
        yield "promised", verdict.promised
        yield "shown", float(verdict.finding.value == "SHOWN")
        yield "broken", float(verdict.finding.value == "BROKEN")
        yield "overdue", float(verdict.overdue)


def _prefix(row: Row) -> str:
    parts = {
        "answers": ("all_answers",),
        "acted": ("acted",),
        "band": ("band", row.band),
        "category": ("category", row.category or "none"),
        "cell": ("band", row.band, row.category or "none"),
    }[row.kind]
    return "/".join(_FORBIDDEN.sub("_", part) for part in parts)
