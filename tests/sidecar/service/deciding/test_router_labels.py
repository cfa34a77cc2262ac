"""Labels are durable before they are accepted, and taken once."""

import msgspec
import pytest

from sidecar import errors
from sidecar.service.deciding.router import fingerprint_of
from tests import builders
from tests.sidecar import services


@pytest.fixture
def made():
    return services.bare()


def label(**changes):
    made = builders.label(**{"event_id": "e-1"} | changes)
    return made, fingerprint_of(msgspec.json.encode(made))


def statuses(receipts):
    return [(each.status, each.reason) for each in receipts]


def test_a_label_is_durable_before_it_is_accepted(made):
    given = label()
    assert statuses(made.router.record_labels([given])) == [("ACCEPTED", "")]
    assert made.journal.batches == [((given[0],), True)]
    assert made.count("trueband_labels_total", status="ACCEPTED") == 1


def test_a_label_is_taken_once(made):
    for expected in ("ACCEPTED", "DUPLICATE"):
        assert statuses(made.router.record_labels([label()])) == [(expected, "")]
    assert statuses(made.router.record_labels([label(), label()]))[1][0] == "DUPLICATE"
    assert len(made.journal.records) == 1


def test_another_label_under_its_event_id_is_refused(made):
    made.router.record_labels([label()])
    (receipt,) = made.router.record_labels([label(correct=False)])
    assert statuses([receipt]) == [("REJECTED", "EVENT_ID_REUSED")]
    assert "supersedes" in receipt.message
    within = made.router.record_labels([label(event_id="e-2"), label(event_id="e-2", correct=False)])
    assert statuses(within) == [("ACCEPTED", ""), ("REJECTED", "EVENT_ID_REUSED")]
    assert statuses(made.router.record_labels([label(source="erp", correct=False)])) == [("ACCEPTED", "")]


def test_each_label_of_a_batch_has_its_own_fate(made):
    bad = errors.InvalidRequest((errors.Violation("label.source", "is required"),))
    receipts = made.router.record_labels([label(), bad, label(), label(event_id="e-2")])
    assert [each.status for each in receipts] == ["ACCEPTED", "REJECTED", "DUPLICATE", "ACCEPTED"]
    assert (receipts[1].reason, receipts[1].message) == ("INVALID_REQUEST", "label.source: is required")
    assert [record.event_id for record in made.journal.records] == ["e-1", "e-2"]


def test_labels_that_cannot_be_kept_are_not_acknowledged(made):
    made.journal.break_down()
    with pytest.raises(errors.JournalUnavailable):
        made.router.record_labels([label()])
    assert made.count("trueband_labels_total", status="ACCEPTED") == 0
    made.journal.failure = None
    assert statuses(made.router.record_labels([label()])) == [("ACCEPTED", "")]


def test_a_batch_with_nothing_new_writes_nothing(made):
    made.router.record_labels([label()])
    made.journal.break_down()
    assert statuses(made.router.record_labels([label()])) == [("DUPLICATE", "")]
