"""Labels as messages: what is well formed gets through whole, every bad field is named."""

import pytest
from google.protobuf import timestamp_pb2
from trueband.v1 import label_pb2

from sidecar.errors import InvalidRequest
from sidecar.service.api import requests

LONG = "x" * 257


def label(**changes):
    fields = {"decision_id": "d-1", "source": "crm", "event_id": "e-1", "correct": True}
    fields |= changes
    return label_pb2.Label(**{name: value for name, value in fields.items() if value is not None})


def read(message):
    return requests.label(message, now=100.0, sidecar_id="sidecar-a")


BAD_LABELS = {
    "no decision": (label(decision_id=""), ["label.decision_id"]),
    "no source": (label(source=""), ["label.source"]),
    "no event": (label(event_id=""), ["label.event_id"]),
    "nothing at all": (
        label_pb2.Label(),
        ["label.decision_id", "label.source", "label.event_id", "label.value"],
    ),
    "no value": (label(correct=None), ["label.value"]),
    "an empty class": (label(correct=None, true_class=""), ["label.true_class"]),
    "about something of the future": (label(about=99), ["label.about"]),
    "by a channel of the future": (label(channel=99), ["label.channel"]),
    "from a review task that is not named": (
        label(channel=label_pb2.LABEL_CHANNEL_REVIEW_TASK),
        ["label.task_id"],
    ),
    "from an audit task that is not named": (
        label(channel=label_pb2.LABEL_CHANNEL_AUDIT_TASK),
        ["label.task_id"],
    ),
    "observed before 1970": (label(observed_at=timestamp_pb2.Timestamp(seconds=-1)), ["label.observed_at"]),
    "a note that is too long": (label(note="x" * 16_385), ["label.note"]),
    "an explanation that is too long": (
        label(correct=None, cannot_tell=label_pb2.CannotTell(explanation="x" * 16_385)),
        ["label.cannot_tell.explanation"],
    ),
    **{
        f"a {name} of 257 bytes": (label(**{name: LONG}), [f"label.{name}"])
        for name in (
            "decision_id", "source", "event_id", "true_category", "criterion", "guideline_version", "task_id",
            "supersedes", "reviewer",
        )
    },
    "a true class of 257 bytes": (label(correct=None, true_class=LONG), ["label.true_class"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_LABELS)
def test_a_bad_field_of_a_label_is_named(what):
    message, fields = BAD_LABELS[what]
    with pytest.raises(InvalidRequest) as caught:
        read(message)
    assert [violation.field for violation in caught.value.violations] == fields


def test_a_label_has_its_defaults():
    recorded, _ = read(label())
    assert recorded.correct is True
    assert (recorded.about, recorded.channel, recorded.criterion) == ("FINAL", "VOLUNTEERED", "correct")
    assert (recorded.observed_at, recorded.recorded_at, recorded.sidecar_id) == (100.0, 100.0, "sidecar-a")
    assert recorded.true_category is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"correct": False}, (False, None, False)),
        ({"correct": None, "true_class": "not_now"}, (None, "not_now", False)),
        ({"correct": None, "cannot_tell": label_pb2.CannotTell()}, (None, None, True)),
    ],
)
def test_a_label_says_one_of_three_things(value, expected):
    recorded, _ = read(label(**value))
    assert (recorded.correct, recorded.true_class, recorded.cannot_tell) == expected


def test_why_nobody_could_tell_is_kept_as_the_note():
    why = label_pb2.CannotTell(explanation="the audio is gone")
    assert read(label(correct=None, cannot_tell=why))[0].note == "the audio is gone"
    assert read(label(correct=None, cannot_tell=why, note="ask ada"))[0].note == "ask ada"


@pytest.mark.parametrize("number", label_pb2.LabelChannel.values())
def test_every_channel_is_known(number):
    recorded, _ = read(label(channel=number, task_id="t-1"))
    name = label_pb2.LabelChannel.Name(number).removeprefix("LABEL_CHANNEL_")
    assert recorded.channel == ("VOLUNTEERED" if number == 0 else name)


@pytest.mark.parametrize("number", label_pb2.LabelSubject.values())
def test_every_subject_is_known(number):
    name = label_pb2.LabelSubject.Name(number).removeprefix("LABEL_SUBJECT_")
    assert read(label(about=number))[0].about == ("FINAL" if number == 0 else name)


def test_the_fingerprint_of_a_label_is_of_what_was_sent_not_of_when():
    message = label()
    later = requests.label(message, now=999.0, sidecar_id="sidecar-b")
    assert later[1] == read(message)[1]
    assert read(label(correct=False))[1] != read(message)[1]
