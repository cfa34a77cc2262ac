"""What a look measured, as one list of numbers; Prometheus, MLflow and the JSON document are written from it."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from sidecar import times
from training import errors
from training.watch import challenger
from training.watch.breach import Thresholds
from training.watch.challenger import Comparison
from training.watch.model_look import Look
from training.watch.score_shift import VersionShift
from training.watch.state import Alarm, StreamState

EXPERIMENT = "trueband-watch"
MODEL_TAG = "trueband.model"

ALL_STREAMS, SCORE_SHIFT, CHALLENGER = "all_streams", "score_shift", "challenger"

_IN_A_KEY = ("model_version", "band", "category", "stream", "kind")
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_./ -]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number that a look came to.

    Attributes:
        group: what it is about: `all_streams`, `score_shift`, `challenger`; empty: a stream.
        name: of the number.
        text: what it is.
        labels: what it was measured of, by name.
        value: the number; None where it cannot be said.
    """

    group: str
    name: str
    text: str
    labels: Mapping[str, str]
    value: float | None

    @property
    def whole_name(self) -> str:
        """The name with its group."""
        return f"{self.group}_{self.name}" if self.group else self.name

    @property
    def key(self) -> str:
        """The name in MLflow, such as `v1/auto/0123456789ab/labels`."""
        parts = [
            self.labels[label] or ("any" if label == "model_version" else "")
            for label in _IN_A_KEY
            if label in self.labels
        ]
        return "/".join(part for part in (*parts, self.group, self.name) if part)


def of(look: Look) -> Iterator[Measurement]:
    """All that a look measured."""
    yield from _of_all_streams(look)
    for state in look.states:
        yield from _of_stream(look, state)
        yield from _alarms(state)
    for shift in look.shifts:
        yield from _of_shift(look, shift)
    for compared in look.challengers:
        yield from _of_challenger(look, compared)


def registry(looks: Iterable[Look], *, undone: int) -> CollectorRegistry:
    """The measurements of some models for Prometheus; `undone` is how many things the watch could not do."""
    collectors = CollectorRegistry()
    gauges: dict[str, Gauge] = {}

    def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        if name not in gauges:
            gauges[name] = Gauge(f"trueband_watch_{name}", text, tuple(labels), registry=collectors)
        return gauges[name]

    gauge("undone", "What the watch had to do and could not.").set(undone)
    for look in looks:
        gauge("last_run_timestamp_seconds", "When the watch looked.", ("model",)).labels(look.model).set(
            look.at
        )
        for each in of(look):
            if each.value is not None:
                gauge(each.whole_name, each.text, each.labels).labels(**each.labels).set(each.value)
    return collectors


def write(path: Path, metrics: CollectorRegistry) -> None:
    """Writes a file for the textfile collector of the node exporter.

    A reader sees the old file or the new one and nothing between.

    Raises:
        RequestRefused: the file cannot be written.
    """
    try:
        write_to_textfile(str(path), metrics)
    except OSError as error:
        raise errors.RequestRefused(f"{path}: cannot be written: {error.strerror}") from error


def points(look: Look) -> dict[str, float]:
    """The measurements for MLflow, by key; what is not finite is left out, and what a key cannot hold becomes `_`."""
    return {
        _NOT_IN_A_KEY.sub("_", each.key): float(each.value)
        for each in of(look)
        if each.value is not None and math.isfinite(each.value)
    }


def log(model: str, metrics: Mapping[str, float], *, at: float) -> str:
    """Adds a point to each metric of a model's run in MLflow, which grows with every look; the run's id.

    Args:
        model: the model; its run carries the name as tag `trueband.model`.
        metrics: as of `points`.
        at: of the points, in seconds since the epoch.

    Raises:
        RegistryRefused: MLflow does not take them.
    """
    from training.registry import publication, versions  # MLflow takes a second to import

    client = versions.client()
    with versions.asking(model):
        experiment = publication.experiment_id(client, EXPERIMENT)
        runs = client.search_runs([experiment], f"tags.`{MODEL_TAG}` = '{model}'", max_results=1)
        run = runs[0] if runs else client.create_run(experiment, run_name=model, tags={MODEL_TAG: model})
        run_id = str(run.info.run_id)
        publication.log_numbers(client, run_id, metrics, at=at, step=round(at))
        client.set_terminated(run_id)
    return run_id


def document(look: Look) -> dict[str, object]:
    """What a look found, as JSON has it; what is not finite is null."""
    return {
        "at": times.rfc3339(look.at),
        "false_alarm_rate": look.rate,
        "streams": [_stream(look, state) for state in look.states],
        "all_streams": {
            **_numbers(_of_all_streams(look)),
            "accuracy_named_by_e_bh": sorted(stream.id for stream in look.accuracy.named),
            "calibration_named_by_e_bh": sorted(stream.id for stream in look.calibration.named),
        },
        "score_shift": [
            {
                "model_version": shift.model_version,
                "calibrator": shift.calibrator,
                "reference": shift.reference,
                **_numbers(_of_shift(look, shift)),
            }
            for shift in look.shifts
        ],
        "challengers": [
            {
                "model_version": compared.model_version,
                "champion": compared.champion.digest,
                "challenger": compared.challenger.digest,
                "name": compared.challenger.name,
                "version": compared.challenger.version,
                **_numbers(_of_challenger(look, compared)),
            }
            for compared in look.challengers
        ],
        "left_out": look.left_out,
    }


def _numbers(measurements: Iterable[Measurement]) -> dict[str, float | None]:
    """Measurements of one subject, by name."""
    return {
        each.name: each.value if each.value is not None and math.isfinite(each.value) else None
        for each in measurements
    }


def _measurements(
    group: str, labels: Mapping[str, str], values: Mapping[str, tuple[str, float | None]]
) -> Iterator[Measurement]:
    for name, (text, value) in values.items():
        yield Measurement(group=group, name=name, text=text, labels=labels, value=value)


def _of_all_streams(look: Look) -> Iterator[Measurement]:
    values = {
        "accuracy_log_evidence": ("ln of the evidence that any promise is broken.", look.accuracy.log_mean),
        "calibration_log_evidence": (
            "ln of the evidence that any stream is miscalibrated.",
            look.calibration.log_mean,
        ),
        "log_needed": ("ln of the evidence at which either is believed.", -math.log(look.rate)),
    }
    return _measurements(ALL_STREAMS, {"model": look.model}, values)


def _of_stream(look: Look, state: StreamState) -> Iterator[Measurement]:
    promised = state.stream.promise is not None
    values = {
        "labels": ("Audit labels that the detectors have seen.", state.labels),
        "correct": ("Of those, labels that said correct.", state.correct),
        "promise": ("The promised accuracy.", state.stream.promise),
        "accuracy_log_evidence": (
            "ln of the evidence that the promise was never kept.",
            state.mixture_log_e if promised else None,
        ),
        "accuracy_log_needed": (
            "ln of the evidence that raises an alarm, if the other streams stay as they are.",
            look.accuracy_needed(state) if promised else None,
        ),
        "change_log_statistic": (
            "ln of the statistic of the change detector.",
            state.change_log_statistic if promised else None,
        ),
        "change_log_needed": (
            "ln of the statistic at which it raises an alarm.",
            Thresholds.of(look.rate).change_log_statistic if promised else None,
        ),
        "calibration_log_evidence": ("ln of the evidence of miscalibration.", state.drift_log_e),
        "calibration_log_needed": (
            "ln of the evidence that raises an alarm, if the other streams stay as they are.",
            look.calibration_needed(state),
        ),
        "mean_overconfidence": (
            "Mean calibrated confidence minus the share correct.",
            state.drift.gap_sum / state.drift.labels if state.drift.labels else None,
        ),
    }
    return _measurements("", _labels(state), values)


def _alarms(state: StreamState) -> Iterator[Measurement]:
    for kind in ("ACCURACY", "CALIBRATION"):
        is_open = any(alarm.kind == kind and alarm.is_open for alarm in state.alarms)
        yield from _measurements(
            "",
            {**_labels(state), "kind": kind},
            {"alarm": ("1: an alarm that nobody took note of.", is_open)},
        )


def _of_shift(look: Look, compared: VersionShift) -> Iterator[Measurement]:
    shift = compared.shift
    values = {
        "psi": ("Population stability index of the scores.", None if shift is None else shift.psi),
        "ks": ("Kolmogorov-Smirnov distance of the scores.", None if shift is None else shift.ks),
        "n": ("Scores compared.", None if shift is None else shift.n),
        "warns": ("1: either is beyond its bound.", shift is not None and shift.warns),
    }
    return _measurements(SCORE_SHIFT, {"model": look.model, "model_version": compared.model_version}, values)


def _of_challenger(look: Look, compared: Comparison) -> Iterator[Measurement]:
    labels = {
        "model": look.model,
        "model_version": compared.model_version,
        "challenger": compared.challenger.version,
    }
    values = {
        "labels": ("Audit labels that compare champion and challenger.", compared.evidence.labels),
        "left_out": ("Audit labels on which the challenger has no confidence to compare.", compared.left_out),
        "brier_champion": ("Mean Brier score of the champion.", compared.brier_champion),
        "brier_challenger": ("Mean Brier score of the challenger.", compared.brier_challenger),
        "brier_difference": ("Mean Brier score, champion minus challenger.", compared.difference),
        "log_evidence": ("ln of the evidence that the challenger is better.", compared.evidence.log_e),
        "log_evidence_champion": (
            "ln of the evidence that the champion is.",
            compared.evidence.log_e_reverse,
        ),
        "log_needed": ("ln of the evidence at which either is believed.", challenger.log_needed(look.rate)),
    }
    return _measurements(CHALLENGER, labels, values)


def _labels(state: StreamState) -> dict[str, str]:
    stream = state.stream
    return {
        "model": stream.model,
        "model_version": stream.model_version,
        "band": stream.band,
        "category": stream.category,
        "source": stream.source,
        "stream": stream.id,
    }


def _stream(look: Look, state: StreamState) -> dict[str, object]:
    return {
        **_labels(state),
        "action": state.stream.action,
        "audit_rate": state.stream.audit_rate,
        "calibrator": state.stream.calibrator,
        "since": times.rfc3339(state.began_at),
        **_numbers(_of_stream(look, state)),
        "alarms": [_alarm(alarm) for alarm in state.alarms],
    }


def _alarm(alarm: Alarm) -> dict[str, object]:
    return {
        "kind": alarm.kind,
        "detector": alarm.detector,
        "since": times.rfc3339(alarm.fired_at),
        "labels": alarm.labels,
        "correct": alarm.correct,
        "log_evidence": alarm.log_evidence,
        "log_needed": alarm.log_needed,
        "suspension_id": alarm.suspension_id,
        "open": alarm.is_open,
        "acknowledged_by": alarm.acknowledged_by,
        "acknowledged_reason": alarm.acknowledged_reason,
    }
