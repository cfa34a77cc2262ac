"""What can be seen from outside: Prometheus metrics and structured logs."""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram

from sidecar.decision.records import Decision
from sidecar.policy.actions import Reason

LATENCY_BUCKETS = (
    0.0001,
    0.0002,
    0.0003,
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.5,
    1,
    5,
)
"""From a tenth of a millisecond: a decision takes a few of them, and the defaults start at five milliseconds."""


class Metrics:
    """Every metric of the process, on a registry of its own. Label values come from closed sets.

    None of them tells what was drawn for audit: whoever routes may read them, between two calls.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[
            tuple[prometheus_client.Counter, tuple[str, ...]], prometheus_client.Counter
        ] = {}
        self.decisions = prometheus_client.Counter(
            "trueband_decisions",
            "Answers, by model, action, band and whether the caller may act.",
            ("model", "action", "band", "may_act"),
            registry=self.registry,
        )
        self.reasons = prometheus_client.Counter(
            "trueband_decision_reasons",
            "Reasons other than BAND, by model.",
            ("model", "reason"),
            registry=self.registry,
        )
        self.replayed = prometheus_client.Counter(
            "trueband_replayed_answers", "Retries that got their recorded answer.", registry=self.registry
        )
        self.labels = prometheus_client.Counter(
            "trueband_labels", "Labels, by what became of them.", ("status",), registry=self.registry
        )
        self.unrecorded = prometheus_client.Counter(
            "trueband_unrecorded_decisions",
            "Answers that could not be journaled, and so were UNCERTAIN.",
            registry=self.registry,
        )
        self.mandatory_without_human = prometheus_client.Counter(
            "mandatory_without_human",
            "Decisions that acted, or rejected, in a mandatory category without a person. Must stay 0.",
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "trueband_request_seconds",
            "Time in the service, by method and status.",
            ("method", "status"),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.undelivered = prometheus_client.Counter(
            "trueband_undelivered_answers",
            "Calls that were worked on and whose caller had left by then, by method.",
            ("method",),
            registry=self.registry,
        )
        self.steps = prometheus_client.Counter(
            "trueband_fallback_steps",
            "Steps of the fallback chain, by what came of them; the code says why.",
            ("model", "step", "outcome", "code"),
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "trueband_fallback_step_seconds",
            "Time that a step of the fallback chain took.",
            ("step",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.secondary_left_alone = Gauge(
            "trueband_secondary_left_alone",
            "1 while the breaker of a model's secondary is open.",
            ("model",),
            registry=self.registry,
        )
        self.suspensions = Gauge(
            "trueband_suspensions", "Suspensions in force: the brake.", registry=self.registry
        )
        self.shadow = prometheus_client.Counter(
            "trueband_shadow",
            "Answers by the band of the champion and that of the challenger, which decides nothing.",
            ("model", "band", "shadow_band"),
            registry=self.registry,
        )
        self.observations_dropped = prometheus_client.Counter(
            "trueband_observations_dropped",
            "Decisions that neither the challenger nor the check of newcomers saw, since too many waited.",
            registry=self.registry,
        )
        self.observations_failed = prometheus_client.Counter(
            "trueband_observations_failed",
            "Failures of what is learnt from decisions after they are answered.",
            registry=self.registry,
        )
        self.calibrator_confirmed = Gauge(
            "trueband_calibrator_confirmed_timestamp_seconds",
            "When the source last confirmed the calibrator.",
            ("model", "model_version"),
            registry=self.registry,
        )
        self.backlog_records = Gauge(
            "trueband_journal_backlog_records", "Records not yet in the ledger.", registry=self.registry
        )
        self.backlog_seconds = Gauge(
            "trueband_journal_backlog_seconds", "Age of the oldest of them.", registry=self.registry
        )
        self.journal_trouble = Gauge(
            "trueband_journal_trouble",
            "1 while the journal takes no records, full or broken: then everything is answered UNCERTAIN.",
            registry=self.registry,
        )
        self.journal_used = Gauge(
            "trueband_journal_used_ratio", "Bytes on disk, as a share of the bound.", registry=self.registry
        )
        self.ledger_refused = Gauge(
            "trueband_ledger_refused_records",
            "Records that the ledger could not take since the start, kept aside in it.",
            registry=self.registry,
        )
        self.journal_missing = Gauge(
            "trueband_journal_missing_records",
            "Records that the journal numbered since the start and does not have any more.",
            registry=self.registry,
        )
        self.journal_damage = Gauge(
            "trueband_journal_damaged_bytes",
            "Bytes found damaged since the start: corrupt among acknowledged records, cut of a write that never ended.",
            ("kind",),
            registry=self.registry,
        )

    def decided(self, decisions: Sequence[Decision]) -> None:
        """Counts recorded answers, and the fallback steps that led to them."""
        for key, count in Counter(map(_counted, decisions)).items():
            model, action, band, may_act, reasons = key
            self._child(self.decisions, model, action, band, str(may_act).lower()).inc(count)
            for reason in reasons:
                if reason is not Reason.BAND:
                    self._child(self.reasons, model, reason).inc(count)
        for decision in decisions:
            for step in decision.steps:
                self._child(self.steps, decision.query.model, step.step, step.outcome, step.code).inc()
                self.step_seconds.labels(step.step).observe(step.duration_seconds)

    def shadowed(self, model: str, band: str, shadow_band: str) -> None:
        """Counts an answer that the challenger was evaluated on."""
        self._child(self.shadow, model, band, shadow_band).inc()

    def _child(self, counter: prometheus_client.Counter, *labels: str) -> prometheus_client.Counter:
        """The counter of some label values; looked up without the library's lock, which costs as much again."""
        child = self._children.get((counter, labels))
        if child is None:
            child = self._children[counter, labels] = counter.labels(*labels)
        return child

    def mandatory_without_human_total(self) -> int:
        """The counter that must stay 0."""
        value = self.registry.get_sample_value("mandatory_without_human_total")
        return int(value or 0)


def _counted(decision: Decision) -> tuple[str, str, str, bool, tuple[Reason, ...]]:
    return (
        decision.query.model,
        decision.action,
        decision.verdict.band,
        decision.may_act,
        decision.reasons,
    )


STANDARD_FIELDS = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and what the call gave as `extra`."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The line; made by a serializer, so that no message can break it."""
        entry: dict[str, object] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        given = {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}
        entry.update(given.pop("fields", {}), **given)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure_logging(level: str) -> None:
    """Sends logs as JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("sidecar", "calibrators"):
        logging.getLogger(name).setLevel(level.upper())
