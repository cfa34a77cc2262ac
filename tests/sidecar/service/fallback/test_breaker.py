import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.service.fallback.breaker import Breaker

Clock = Any


def breaker(clock: Callable[[], float], failures: int = 3) -> Breaker:
    return Breaker("backup", failures=failures, open_seconds=10.0, clock=clock)


def test_it_opens_after_so_many_failures_in_a_row(fake_clock: Clock) -> None:
    subject = breaker(fake_clock)
    for _ in range(2):
        assert subject.admits(1.0)
        subject.failed()
    assert not subject.is_open
    subject.succeeded()
    for _ in range(3):
        assert subject.admits(1.0)
        subject.failed()
    assert subject.is_open
    assert not subject.admits(1.0)


def test_after_a_while_one_probe_goes_through(fake_clock: Clock) -> None:
    subject = breaker(fake_clock, failures=1)
    subject.failed()
    fake_clock.advance(9.999)
    assert not subject.admits(1.0)
    fake_clock.advance(0.001)
    assert subject.admits(1.0)
    assert not subject.admits(1.0), "one probe at a time"
    subject.succeeded()
    assert subject.admits(1.0)
    assert subject.admits(1.0)
    assert not subject.is_open


def test_a_failed_probe_opens_it_again(fake_clock: Clock) -> None:
    subject = breaker(fake_clock, failures=2)
    subject.failed()
    subject.failed()
    fake_clock.advance(10.0)
    assert subject.admits(1.0)
    subject.failed()
    assert not subject.admits(1.0)
    fake_clock.advance(9.0)
    assert not subject.admits(1.0)
    fake_clock.advance(1.0)
    assert subject.admits(1.0)


@pytest.mark.parametrize("reported", [True, False])
def test_a_probe_that_tells_nothing_makes_way_for_another(fake_clock: Clock, reported: bool) -> None:
    subject = breaker(fake_clock, failures=1)
    subject.failed()
    fake_clock.advance(10.0)
    assert subject.admits(1.0)
    if reported:
        subject.abstained()
    else:
        assert not subject.admits(1.0)
        fake_clock.advance(1.0)
    assert subject.admits(1.0)
    assert subject.is_open


def test_of_many_threads_one_probes(fake_clock: Clock) -> None:
    subject = breaker(fake_clock, failures=1)
    subject.failed()
    fake_clock.advance(10.0)
    barrier = threading.Barrier(8)
    admitted = []

    def ask() -> None:
        barrier.wait()
        if subject.admits(1.0):
            admitted.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


@given(st.lists(st.sampled_from(["success", "failure", "abstention", "second"]), max_size=60))
def test_it_is_open_only_after_enough_failures_and_never_for_ever(events: list[str]) -> None:
    now = [0.0]
    subject = breaker(lambda: now[0])
    in_a_row = 0
    for event in events:
        if event == "second":
            now[0] += 1.0
        elif subject.admits(0.5):
            if event == "success":
                subject.succeeded()
                in_a_row = 0
            elif event == "failure":
                subject.failed()
                in_a_row += 1
            else:
                subject.abstained()
        assert subject.is_open is (in_a_row >= 3)
    now[0] += 11.0
    assert subject.admits(0.5)
