"""When review tasks are due."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision import due
from sidecar.policy.actions import TaskKind
from sidecar.policy.upkeep import Review


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_tasks_are_due_as_the_policy_says(now):
    review = Review.model_validate({"hold_due": "30m", "escalation_due": "5m", "audit_due": "2d"})
    kinds = (TaskKind.HOLD, TaskKind.ESCALATION, TaskKind.ADJUDICATION, TaskKind.AUDIT)
    planned = due.plan(kinds, now, review)
    assert [(task.kind, task.due_at - now) for task in planned] == [
        (TaskKind.HOLD, 1800.0),
        (TaskKind.ESCALATION, 300.0),
        (TaskKind.ADJUDICATION, 300.0),
        (TaskKind.AUDIT, 172800.0),
    ]


def test_an_audit_whose_task_opens_later_is_due_later_and_nothing_else_is(now):
    kinds = (TaskKind.BATCH, TaskKind.HOLD, TaskKind.AUDIT)
    at_once = due.plan(kinds, now, Review())
    later = due.plan(kinds, now, Review(), audit_opens_at=now + 1000.0)
    assert [b.due_at - a.due_at for a, b in zip(at_once, later, strict=True)] == [0.0, 0.0, 1000.0]


def test_what_the_policy_says_about_a_kind_goes_with_the_task(now):
    review = Review.model_validate(
        {
            "overlap": {"AUDIT": 2, "HOLD": 3},
            "skills": {"Legal-Language": "legal"},
            "expire_after": {"HOLD": "1d"},
            "hold_due": "1h",
        }
    )
    hold, audit = due.plan(
        (TaskKind.HOLD, TaskKind.AUDIT), now, review, category="legal_language", criterion="helpful"
    )
    assert (hold.overlap, hold.skill, hold.criterion) == (3, "legal", "helpful")
    assert hold.expires_at == now + 3600 + 86400
    assert (audit.overlap, audit.expires_at) == (2, None)
    (plain,) = due.plan((TaskKind.BATCH,), now, review, category="general")
    assert (plain.overlap, plain.skill, plain.expires_at, plain.blind) == (1, "", None, False)


def test_where_a_person_is_needed_nothing_expires(now):
    review = Review.model_validate({"expire_after": {"HOLD": "1d", "ESCALATION": "1d"}})
    for task in due.plan((TaskKind.HOLD, TaskKind.ESCALATION), now, review, mandatory=True):
        assert task.expires_at is None


@pytest.mark.parametrize(
    ("share", "draw", "blind"), [(0.0, 0.0, False), (0.5, 0.49, True), (0.5, 0.5, False), (1.0, 0.99, True)]
)
def test_a_share_is_blind_but_what_a_senior_takes_over_never(now, share, draw, blind):
    review = Review.model_validate({"blind_share": share})
    for task in due.plan(tuple(TaskKind), now, review, blind_draw=lambda _: draw):
        expected = blind and task.kind in (TaskKind.HOLD, TaskKind.BATCH, TaskKind.AUDIT)
        assert task.blind is expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"overlap": {"ADJUDICATION": 2}}, "ADJUDICATION cannot stand here"),
        ({"overlap": {"HOLD": 0}}, "greater than or equal to 1"),
        ({"overlap": {"HOLD": 10}}, "less than or equal to 9"),
        ({"expire_after": {"AUDIT": "1d"}}, "AUDIT cannot stand here"),
        ({"expire_after": {"HOLD": 5}}, "a duration"),
        ({"blind_share": 1.5}, "less than or equal to 1"),
        ({"skills": {"pricing": "a", "Pricing ": "b"}}, "stands twice"),
        ({"skills": {" ": "a"}}, "no name"),
        ({"skills": {"pricing": ""}}, "at least 1 character"),
    ],
)
def test_a_mistake_in_the_review_settings_is_named(content, says):
    with pytest.raises(ValueError, match=says):
        Review.model_validate(content)


@pytest.mark.parametrize("kind", TaskKind)
def test_every_kind_of_task_has_a_due_time(kind, now):
    (task,) = due.plan((kind,), now, Review())
    assert task.due_at > now


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2026-02-02T09:00", "UTC", "2026-02-03T18:00"),  # Monday
        ("2026-02-05T23:59:59", "UTC", "2026-02-06T18:00"),  # Thursday
        ("2026-02-06T00:00", "UTC", "2026-02-09T18:00"),  # Friday: over the weekend
        ("2026-02-07T12:00", "UTC", "2026-02-09T18:00"),  # Saturday
        ("2026-02-08T23:45", "UTC", "2026-02-09T18:00"),  # Sunday
        ("2026-03-28T12:00", "Europe/Berlin", "2026-03-30T18:00"),  # the night the clocks change
        ("2026-02-02T23:50", "Asia/Kathmandu", "2026-02-03T18:00"),  # an offset of 5:45
        ("2026-02-03T00:05", "Asia/Kathmandu", "2026-02-04T18:00"),
        ("2026-12-31T20:00", "America/New_York", "2027-01-01T18:00"),
    ],
)
def test_a_flagged_answer_is_due_at_the_end_of_the_next_business_day(moment, zone, expected):
    assert due.next_business_day_end(at(moment, zone), zone) == at(expected, zone)


def test_a_day_begins_where_the_reviewers_are():
    late_in_tokyo = at("2026-02-02T00:30", "Asia/Tokyo")  # still Sunday in UTC
    assert due.next_business_day_end(late_in_tokyo, "Asia/Tokyo") == at("2026-02-03T18:00", "Asia/Tokyo")
    assert due.next_business_day_end(late_in_tokyo, "UTC") == at("2026-02-02T18:00")


zones = st.sampled_from(sorted(zone for zone in available_timezones() if "/" in zone and zone[0] in "AEP"))


@given(st.floats(1.6e9, 2.0e9), zones)
def test_the_next_business_day_is_near_and_a_business_day(moment, zone):
    end = due.next_business_day_end(moment, zone)
    local, start = (datetime.fromtimestamp(each, UTC).astimezone(ZoneInfo(zone)) for each in (end, moment))
    assert (local.hour, local.minute) == (18, 0)
    assert local.isoweekday() <= 5
    assert 1 <= (local.date() - start.date()).days <= 3
    assert start.isoweekday() in (5, 6) or (local.date() - start.date()).days == 1
