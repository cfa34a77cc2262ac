"""Health tells when a model can be asked, and is not confused by names or by draining."""

import pytest
from grpc_health.v1 import health_pb2

from sidecar.service.health import ALL, LIVENESS, Health
from sidecar.service.registry import CalibratorSlot, SlotStatus
from tests import builders

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def slot(model, *, attempted=True, in_force=None, version=""):
    return SlotStatus(
        slot=CalibratorSlot(model, version),
        uri="models:/c@champion",
        in_force=in_force,
        last_error=None,
        last_error_code=None,
        last_error_at=None,
        attempted=attempted,
    )


def told(health, *names):
    return [health.servicer.Check(health_pb2.HealthCheckRequest(service=name), None).status for name in names]


@pytest.fixture
def health():
    return Health(ready_without_calibrator=True)


def test_nothing_serves_before_it_was_tried(health):
    assert told(health, ALL, LIVENESS) == [NOT_SERVING, SERVING]
    health.update(["a", "b"], [slot("a"), slot("b", attempted=False)])
    assert told(health, ALL, "a", "b", LIVENESS) == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]
    assert not health.serving
    health.update(["a", "b"], [slot("a"), slot("b")])
    assert told(health, ALL, "a", "b") == [SERVING] * 3
    assert health.serving


def test_one_version_that_was_not_tried_keeps_its_model_back(health):
    health.update(["a"], [slot("a"), slot("a", version="v8", attempted=False)])
    assert told(health, ALL, "a") == [NOT_SERVING, NOT_SERVING]


def test_whether_a_model_without_a_calibrator_is_ready_is_a_setting():
    strict = Health(ready_without_calibrator=False)
    strict.update(["a"], [slot("a")])
    assert told(strict, ALL, "a") == [NOT_SERVING, NOT_SERVING]
    strict.update(["a"], [slot("a", in_force=builders.calibrator_in_force())])
    assert told(strict, ALL, "a") == [SERVING, SERVING]


def test_a_model_that_left_the_policy_is_unknown(health):
    health.update(["a", "b"], [slot("a"), slot("b")])
    health.update(["b"], [slot("b")])
    assert told(health, ALL, "a", "b") == [SERVING, UNKNOWN, SERVING]


def test_draining_is_for_good_and_is_not_death(health):
    health.update(["a"], [slot("a")])
    health.drain()
    health.update(["a"], [slot("a")])
    assert told(health, ALL, "a") == [NOT_SERVING, NOT_SERVING]
    assert told(health, LIVENESS) == [SERVING]
    assert not health.serving


def test_a_model_called_liveness_does_not_speak_for_the_process(health):
    health.update([LIVENESS, "a"], [slot(LIVENESS, attempted=False), slot("a")])
    assert told(health, LIVENESS, ALL) == [SERVING, NOT_SERVING]
    health.update(["a"], [slot("a")])
    assert told(health, LIVENESS, ALL) == [SERVING, SERVING]


def test_nobody_serves_where_nothing_is_recorded(health):
    health.update(["a"], [slot("a")], records=False)
    assert told(health, ALL, "a", LIVENESS) == [NOT_SERVING, NOT_SERVING, SERVING]
    assert not health.serving
    health.update(["a"], [slot("a")])
    assert told(health, ALL, "a") == [SERVING, SERVING]
