"""The thread behind everything that is done every now and then."""

import logging
import threading

import pytest

from sidecar import errors
from sidecar.service.polling import PollingThread

NEVER = 1e9
"""Seconds; a test that had to wait for them would not end."""


def test_a_stop_and_a_wake_end_the_longest_pause() -> None:
    worked = threading.Event()
    thread = PollingThread("work", worked.set, interval_seconds=NEVER)
    thread.start()
    assert not worked.is_set()  # a pause comes first
    thread.wake()
    assert worked.wait(60.0)
    assert thread.stop(60.0)
    assert thread.stopping
    assert not thread.is_alive()


def test_it_may_work_at_once_and_says_how_long_it_pauses_and_ends_with_a_last_thing() -> None:
    counted: list[str] = []
    thrice, ended = threading.Event(), threading.Event()

    def work() -> float:
        counted.append("work")
        if len(counted) == 3:
            thrice.set()
            return NEVER
        return 0.0

    thread = PollingThread("work", work, interval_seconds=NEVER, at_once=True, last=ended.set)
    thread.start()
    assert thrice.wait(60.0)
    assert not ended.is_set()
    assert thread.stop(60.0)
    assert ended.is_set()
    assert counted == ["work"] * 3


def test_a_stop_before_a_start_is_no_wait() -> None:
    assert PollingThread("work", lambda: None, interval_seconds=NEVER).stop()


def test_whatever_is_raised_it_works_again_and_says_a_known_cause_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised = [
        errors.LedgerUnavailable("away"),
        errors.LedgerUnavailable("away"),
        RuntimeError("odd"),
        SystemExit(),
    ]
    through = threading.Event()

    def work() -> None:
        if raised:
            raise raised.pop(0)
        through.set()

    thread = PollingThread("odd_work", work, interval_seconds=0.0)
    with caplog.at_level(logging.WARNING):
        thread.start()
        assert through.wait(60.0)
        assert thread.stop(60.0)
    failures = [record for record in caplog.records if record.message == "odd_work_failed"]
    assert [record.levelname for record in failures] == ["WARNING", "ERROR", "ERROR"]
