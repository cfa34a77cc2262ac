"""When a source is asked next, and how long a refusal stands."""

import itertools
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import CalibratorRefused
from sidecar.errors import JournalUnavailable, RegistryFailure
from sidecar.service.registry import CalibratorSlot, Expectation, Resolved
from sidecar.service.registry.fetch import Fetch
from sidecar.service.registry.watch import MAX_DELAY_SECONDS, Watch

POLL = 10.0
AWAY = RegistryFailure("connection refused")


def watch() -> Watch:
    return Watch(CalibratorSlot("m"), Expectation(uri="models:/cal@champion", evidence="score"))


def finish(
    state: Watch,
    error: BaseException | None,
    *,
    now: float = 0.0,
    jitter: float = 0.5,
    served: int | None = None,
) -> float:
    """Seconds until the next attempt."""
    state.finish(
        error,
        served=state.requests if served is None else served,
        at=1.79e9,
        now=now,
        poll_seconds=POLL,
        jitter=jitter,
    )
    return state.due - now


def test_the_first_attempt_is_due_at_once() -> None:
    state = watch()
    assert state.due == -math.inf
    assert not state.attempted
    assert finish(state, None) == POLL
    assert state.attempted


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_the_interval_is_kept_give_or_take_a_fifth(jitter: float) -> None:
    assert 8.0 <= finish(watch(), None, jitter=jitter) <= 12.0


def test_a_source_that_cannot_be_read_is_asked_less_and_less_often() -> None:
    state = watch()
    delays = [finish(state, AWAY) for _ in range(2000)]
    assert delays[:6] == [10.0, 20.0, 40.0, 80.0, 160.0, MAX_DELAY_SECONDS]
    assert set(delays[5:]) == {MAX_DELAY_SECONDS}
    assert finish(state, None) == POLL
    assert finish(state, AWAY) == POLL


def test_the_back_off_is_jittered_too() -> None:
    state = watch()
    assert finish(state, AWAY, jitter=0.0) == pytest.approx(8.0)
    assert finish(state, AWAY, jitter=0.999) == pytest.approx(24.0, abs=0.1)


@pytest.mark.parametrize(
    "error",
    [
        RegistryFailure("", code="ALIAS_UNKNOWN"),
        RegistryFailure("", code="REGISTERED_MODEL_UNKNOWN"),
        RegistryFailure("", code="VERSION_UNKNOWN"),
        RegistryFailure("", code="CALIBRATOR_MOVED"),
        RegistryFailure("", code="FILE_UNREADABLE"),
        CalibratorRefused("", code="DIGEST_MISMATCH"),
        JournalUnavailable(),
    ],
)
def test_a_source_that_answers_is_asked_as_before(error: Exception) -> None:
    state = watch()
    assert [finish(state, error) for _ in range(8)] == [POLL] * 8
    assert state.failure is not None
    assert state.failure.code == error.code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error", [RegistryFailure("", code="REGISTRY_ACCESS_DENIED"), ValueError("x"), SystemExit(1)]
)
def test_what_nobody_foresaw_backs_off(error: BaseException) -> None:
    state = watch()
    assert [finish(state, error) for _ in range(3)] == [10.0, 20.0, 40.0]


def test_a_failure_says_what_when_and_by_which_code_and_ends_with_a_good_attempt() -> None:
    state = watch()
    finish(state, KeyError("surprise"))
    status = state.status(None)
    assert (status.last_error, status.last_error_code, status.last_error_at) == (
        "KeyError: 'surprise'",
        "UNEXPECTED",
        1.79e9,
    )
    finish(state, None)
    status = state.status(None)
    assert (status.last_error, status.last_error_code, status.last_error_at) == (None, None, None)


def test_the_log_names_a_failure_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    state = watch()
    with caplog.at_level(logging.INFO, logger="sidecar.service.registry"):
        for error in (AWAY, AWAY, RegistryFailure("x", code="ALIAS_UNKNOWN"), None, None, AWAY):
            finish(state, error)
    assert [(record.message, getattr(record, "code", None)) for record in caplog.records] == [
        ("calibrator_not_refreshed", "REGISTRY_UNAVAILABLE"),
        ("calibrator_not_refreshed", "ALIAS_UNKNOWN"),
        ("calibrator_source_recovered", None),
        ("calibrator_not_refreshed", "REGISTRY_UNAVAILABLE"),
    ]
    assert all(record.slot == "calibrator:m" for record in caplog.records)  # type: ignore[attr-defined]


def test_a_request_is_due_at_once_and_served_by_the_attempt_that_began_after_it() -> None:
    state = watch()
    finish(state, None, now=100.0)
    assert state.request() == 1
    assert state.due == -math.inf
    # A request that arrived while an attempt was on its way is not served by it.
    finish(state, None, now=100.0, served=0)
    assert (state.served, state.due) == (0, -math.inf)
    assert finish(state, None, now=100.0) == POLL
    assert state.served == 1


def refusal(version: str) -> Fetch:
    return Fetch(
        resolved=Resolved(name="cal", version=version), refusal=CalibratorRefused("", code="NOT_MONOTONE")
    )


def test_a_refusal_stands_longer_each_time_but_not_against_a_request() -> None:
    state = watch()
    now = 0.0
    lengths = []
    for _ in range(7):
        state.refuse(refusal("4"), now=now, poll_seconds=POLL)
        lengths.append(state.refused_until - now)
        assert state.standing_refusal(state.refused_until - 0.001) is state.refused
        assert state.standing_refusal(state.refused_until) is None
        now = state.refused_until
    assert lengths == [20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]

    state.request()
    assert state.standing_refusal(now - 1.0) is None


def test_repeating_a_standing_refusal_does_not_prolong_it() -> None:
    state = watch()
    state.refuse(refusal("4"), now=0.0, poll_seconds=POLL)
    standing = state.standing_refusal(10.0)
    assert standing is not None
    state.refuse(standing, now=10.0, poll_seconds=POLL)
    assert state.refused_until == 20.0


def test_another_refused_document_starts_anew() -> None:
    state = watch()
    for now in (0.0, 20.0, 60.0):
        state.refuse(refusal("4"), now=now, poll_seconds=POLL)
    state.refuse(refusal("5"), now=70.0, poll_seconds=POLL)
    assert state.refused_until == 90.0


@given(st.lists(st.sampled_from([None, AWAY, ValueError("x")]), max_size=80), st.floats(0.01, 3600.0))
def test_the_next_attempt_is_never_never(errors: list[BaseException | None], poll: float) -> None:
    state = watch()
    for error, now in zip(errors, itertools.count(), strict=False):
        state.finish(error, served=0, at=0.0, now=float(now), poll_seconds=poll, jitter=0.99)
        assert 0.0 < state.due - now <= 1.2 * max(poll, MAX_DELAY_SECONDS)
