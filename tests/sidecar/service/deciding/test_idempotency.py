"""The window in which a retry gets its recorded answer."""

import threading

import pytest

from sidecar import errors
from sidecar.service.deciding.idempotency import IdempotencyWindow

KEY = ("acme", "m", "r-1")


@pytest.fixture
def window():
    return IdempotencyWindow()


def remember(window, key=KEY, fingerprint=b"1", value="answer", now=0.0, age=60.0, entries=10):
    window.remember(key, fingerprint, value, now=now, age=age, entries=entries)


def recall(window, key=KEY, fingerprint=b"1", now=0.0, age=60.0):
    return window.recall(key, fingerprint, now=now, age=age)


def test_what_was_remembered_is_recalled(window):
    assert recall(window) is None
    remember(window)
    assert recall(window) == "answer"
    assert recall(window, key=("acme", "m", "r-2")) is None
    assert recall(window, key=("", "m", "r-1")) is None


def test_another_body_under_the_key_is_an_error(window):
    remember(window)
    with pytest.raises(errors.RequestIdReused):
        recall(window, fingerprint=b"2")


def test_after_its_age_an_answer_is_forgotten_with_its_body(window):
    remember(window)
    assert recall(window, now=60.0) == "answer"
    assert recall(window, now=60.1) is None
    assert recall(window, now=60.1, fingerprint=b"2") is None


def test_the_oldest_go_first_when_there_are_too_many(window):
    for number in range(5):
        remember(window, key=("r", str(number)), value=str(number), entries=3)
    assert [recall(window, key=("r", str(number))) for number in range(5)] == [None, None, "2", "3", "4"]


def test_what_is_too_old_is_dropped_even_where_there_is_room(window):
    remember(window, key=("old",))
    remember(window, key=("new",), now=100.0)
    assert len(window._entries) == 1


def test_remembering_again_counts_from_now_and_once(window):
    remember(window)
    remember(window, value="another", now=50.0)
    assert recall(window, now=100.0) == "another"
    assert len(window._entries) == 1


def test_a_window_of_no_entries_remembers_nothing(window):
    remember(window, entries=0)
    assert recall(window) is None
    assert len(window._entries) == 0


def test_a_clock_that_is_set_back_forgets_nothing(window):
    remember(window, now=1000.0)
    assert recall(window, now=10.0) == "answer"


def test_many_threads_keep_the_bound(window):
    def fill(thread):
        for number in range(500):
            key = (str(thread), str(number))
            remember(window, key=key, value=key, entries=50)
            assert recall(window, key=key) in (key, None)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(window._entries) == 50
