"""Leases go by the database's clock, which all its clients share."""

import time

import pytest
import sqlalchemy as sa

from sidecar.ledger import database, intake
from sidecar.ledger.store import Ledger
from sidecar.service.review.lease import Wanted
from sidecar.service.review.queue import ReviewQueue


def test_it_tells_the_time_to_the_millisecond_and_goes_on_within_a_transaction(database_url):
    engine = database.engine(database_url)
    with engine.begin() as connection:
        before, first = time.time(), database.now(connection)
        time.sleep(0.05)
        second, after = database.now(connection), time.time()
    engine.dispose()
    assert before - 0.01 <= first <= after
    assert second - first == pytest.approx(0.05, abs=0.04)
    assert first == round(first, 3)


def test_a_process_whose_clock_is_wrong_leases_as_the_others(
    database_url, make_decision, make_person, monkeypatch
):
    with Ledger(database_url) as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, [make_decision(1)])
        queue = ReviewQueue(ledger, review=lambda: None, classes=lambda _: (), sidecar_id="a")
        real = time.time()
        monkeypatch.setattr(time, "time", lambda: real + 1e6)
        (held,) = queue.lease(make_person("ada"), Wanted(lease_seconds=60.0), lambda _: 0)
        assert held.slot.lease_until == pytest.approx(real + 60, abs=30)
        assert queue.lease(make_person("bob"), Wanted(), lambda _: 0) == []


def test_the_words_of_the_clock_are_those_of_the_dialect():
    assert database.UNIX_EPOCH_JULIAN_DAY == 2440587.5
    with sa.create_engine("sqlite://").connect() as connection:
        noon = connection.execute(sa.select(sa.func.julianday("1970-01-01"))).scalar_one()
    assert noon == database.UNIX_EPOCH_JULIAN_DAY
