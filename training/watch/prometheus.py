"""What a look found as Prometheus metrics, for the textfile collector of the node exporter."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from training import errors
from training.watch.breach import Thresholds
from training.watch.model_look import Look
from training.watch.state import StreamState

_STREAM = ("model", "model_version", "band", "category", "source", "stream")


def registry(looks: Iterable[Look], *, undone: int) -> CollectorRegistry:
    """The metrics of some models; `undone` is how many things the watch had to do and could not."""
    made = CollectorRegistry()

    def gauge(name: str, text: str, labels: tuple[str, ...] = _STREAM) -> Gauge:
        return Gauge(f"trueband_watch_{name}", text, labels, registry=made)

    labels = gauge("labels", "Audit labels that the detectors have seen.")
    correct = gauge("correct", "Of those, labels that said correct.")
    promise = gauge("promise", "The promised accuracy.")
    evidence = gauge("accuracy_log_evidence", "ln of the evidence that the promise was never kept.")
    needed = gauge("accuracy_log_needed", "ln of the evidence at which one stream alone raises an alarm.")
    change = gauge("change_log_statistic", "ln of the statistic of the change detector.")
    change_needed = gauge("change_log_needed", "ln of the statistic at which it raises an alarm.")
    drift = gauge("calibration_log_evidence", "ln of the evidence of miscalibration.")
    alarm = gauge("alarm", "1: an alarm that nobody took note of.", (*_STREAM, "kind"))
    psi = gauge("score_shift_psi", "Population stability index of the scores.", ("model", "model_version"))
    ks = gauge("score_shift_ks", "Kolmogorov-Smirnov distance of the scores.", ("model", "model_version"))
    shifted = gauge("score_shift_warning", "1: either is beyond its bound.", ("model", "model_version"))
    together = gauge("all_streams_log_evidence", "ln of the evidence that any promise is broken.", ("model",))
    pair = ("model", "model_version", "challenger")
    compared = gauge("challenger_labels", "Audit labels that compare champion and challenger.", pair)
    gain = gauge("challenger_brier_difference", "Mean Brier score, champion minus challenger.", pair)
    better = gauge("challenger_log_evidence", "ln of the evidence that the challenger is better.", pair)
    worse = gauge("challenger_log_evidence_champion", "ln of the evidence that the champion is.", pair)
    last = gauge("last_run_timestamp_seconds", "When the watch looked.", ("model",))
    gauge("undone", "What the watch had to do and could not.", ()).set(undone)
    for look in looks:
        thresholds = Thresholds.of(look.rate)
        last.labels(look.model).set(look.at)
        together.labels(look.model).set(look.accuracy.log_mean)
        for state in look.states:
            values = _values(state)
            labels.labels(*values).set(state.labels)
            correct.labels(*values).set(state.correct)
            drift.labels(*values).set(state.drift_log_e)
            for kind in ("ACCURACY", "CALIBRATION"):
                alarm.labels(*values, kind).set(any(a.kind == kind and a.is_open for a in state.alarms))
            if state.stream.promise is not None:
                promise.labels(*values).set(state.stream.promise)
                evidence.labels(*values).set(state.mixture_log_e)
                needed.labels(*values).set(thresholds.mixture_log_e)
                change.labels(*values).set(state.change_log_statistic)
                change_needed.labels(*values).set(thresholds.change_log_statistic)
        for each in look.shifts:
            if each.shift is not None:
                psi.labels(look.model, each.model_version).set(each.shift.psi)
                ks.labels(look.model, each.model_version).set(each.shift.ks)
                shifted.labels(look.model, each.model_version).set(each.shift.warns)
        for shadowed in look.shadowed:
            beside = (look.model, shadowed.model_version, shadowed.challenger.version)
            compared.labels(*beside).set(shadowed.evidence.labels)
            gain.labels(*beside).set(shadowed.difference)
            better.labels(*beside).set(shadowed.evidence.log_e)
            worse.labels(*beside).set(shadowed.evidence.log_e_reverse)
    return made


def write(path: Path, metrics: CollectorRegistry) -> None:
    """Writes the metrics, so that a reader sees the old file or the new one and nothing between.

    Raises:
        RequestRefused: the file cannot be written.
    """
    try:
        write_to_textfile(str(path), metrics)
    except OSError as error:
        raise errors.RequestRefused(f"{path}: cannot be written: {error.strerror}") from error


def _values(state: StreamState) -> tuple[str, ...]:
    stream = state.stream
    return stream.model, stream.model_version, stream.band, stream.category, stream.source, stream.id
