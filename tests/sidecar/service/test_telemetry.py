"""Metrics with closed sets of labels, and logs that no message can break."""

import io
import json
import logging

import pytest
from prometheus_client import generate_latest

from sidecar.policy.actions import Action, Reason
from sidecar.service import telemetry
from tests import builders
from tests.sidecar import services


def test_decisions_are_counted_by_model_action_band_and_permission():
    made = services.bare()
    for score in (0.95, 0.95, 0.8, 0.6, 0.1):
        made.router.route(builders.query(score))
    found = {}
    for metric in made.metrics.registry.collect():
        for sample in metric.samples:
            if sample.name == "trueband_decisions_total":
                found[sample.labels["band"], sample.labels["action"], sample.labels["may_act"]] = sample.value
    assert found == {
        ("auto", "AUTO_ROUTE", "true"): 2,
        ("flagged", "AUTO_ROUTE_FLAGGED", "true"): 1,
        ("hold", "HOLD_FOR_REVIEW", "false"): 1,
        ("reject", "REJECT", "false"): 1,
    }


def test_a_band_is_no_reason_to_count():
    made = services.bare(calibrators={})
    made.router.route(builders.query(category="pricing"))
    reasons = {
        sample.labels["reason"]: sample.value
        for metric in made.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "trueband_decision_reasons_total"
    }
    assert reasons == {"NO_CALIBRATOR": 1, "MANDATORY_REVIEW": 1}


def test_no_metric_tells_what_was_drawn():
    made = services.bare()

    def page():
        lines = generate_latest(made.metrics.registry).decode().splitlines()
        return [line for line in lines if not line.startswith("#") and "created" not in line]

    changes: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    before = page()
    for number in range(60):
        drawn = made.router.route(builders.query(request_id=f"r-{number}")).decision.drawn
        after = page()
        if number:  # the first one adds lines
            pairs = zip(before, after, strict=True)
            changes[drawn].add(tuple(place for place, (one, other) in enumerate(pairs) if one != other))
        before = after
    assert changes[True] == changes[False] != set()


def test_two_services_in_one_process_count_apart_and_the_page_renders():
    first, second = telemetry.Metrics(), telemetry.Metrics()
    first.mandatory_without_human.inc()
    assert first.mandatory_without_human_total() == 1
    assert second.mandatory_without_human_total() == 0
    page = generate_latest(first.registry).decode()
    assert "mandatory_without_human_total 1.0" in page
    assert "trueband_unrecorded_decisions_total 0.0" in page


def test_what_a_caller_writes_is_never_a_label():
    made = services.bare()
    odd = "seen-nowhere-else"
    made.router.route(
        builders.query(tenant=odd, category=odd, subject_ref=odd, model_version=odd, predicted_class=odd)
    )
    assert odd not in generate_latest(made.metrics.registry).decode()


def line(message, *arguments, level=logging.INFO, error=None, **extra):
    record = logging.LogRecord(
        "sidecar.service.deciding.router",
        level,
        __file__,
        1,
        message,
        arguments,
        error and (type(error), error, None),
    )
    vars(record).update(extra)
    text = telemetry.JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_line_is_one_json_object():
    entry = line("policy_in_force", fields={"digest": "sha256:0"})
    assert entry["event"] == "policy_in_force"
    assert entry["level"] == "info"
    assert entry["logger"] == "sidecar.service.deciding.router"
    assert entry["digest"] == "sha256:0"
    assert entry["time"].endswith("Z")


def test_fields_given_either_way_are_written():
    assert line("calibrator_in_force", slot="calibrator:m", version="3")["slot"] == "calibrator:m"
    both = line("event", fields={"a": 1}, b=2)
    assert (both["a"], both["b"]) == (1, 2)


@pytest.mark.parametrize("text", ['a "quoted"\nline', "\u2028", "\x00", "价格 🎉", "\\", "}{"])
def test_no_text_breaks_a_line(text):
    assert line("%s", text)["event"] == text
    assert line("event", fields={"cause": text})["cause"] == text


def test_values_that_json_does_not_know_are_written_as_text(tmp_path):
    entry = line("event", fields={"path": tmp_path, "error": ValueError("x"), "action": Action.REJECT})
    assert entry["path"] == str(tmp_path)
    assert (entry["error"], entry["action"]) == ("x", "REJECT")


def test_an_exception_is_one_field():
    entry = line("unhandled_exception", level=logging.ERROR, error=ValueError("two\nlines"))
    assert "ValueError: two\nlines" in entry["exception"]
    assert entry["level"] == "error"


def test_logging_goes_to_standard_error_at_the_level_asked_for(monkeypatch):
    root = logging.getLogger()
    kept = (root.handlers[:], root.level, {n: logging.getLogger(n).level for n in ("sidecar", "calibrators")})
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    try:
        telemetry.configure_logging("info")
        logging.getLogger("sidecar.service.deciding.router").info("said")
        logging.getLogger("sidecar.service.deciding.router").debug("whispered")
        logging.getLogger("somebody.else").info("chatter")
        logging.getLogger("somebody.else").warning("warned")
    finally:
        root.handlers[:] = kept[0]
        root.setLevel(kept[1])
        for name, level in kept[2].items():
            logging.getLogger(name).setLevel(level)
    assert [json.loads(each)["event"] for each in stream.getvalue().splitlines()] == ["said", "warned"]


def test_every_reason_can_be_counted():
    metrics = telemetry.Metrics()
    for reason in Reason:
        metrics.reasons.labels("m", reason).inc()
    assert metrics.registry.get_sample_value(
        "trueband_decision_reasons_total", {"model": "m", "reason": "INVARIANT_GUARD"}
    )
