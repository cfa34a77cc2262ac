"""The closed loop, as the demo tells it: this test is its specification."""

import re
import time

import numpy as np
import pytest
from trueband.v1 import review_pb2

FIRST = range(40)

pytestmark = [
    # MLflow's own, from reading YAML and from describing the input example.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]


def test_labels_come_back_as_a_better_calibrator(loop, promise, capsys) -> None:
    # Given a sidecar without a calibrator, everything holds: a raw score never routes.
    before = loop.route(FIRST)
    assert before.actions == {"HOLD_FOR_REVIEW"}
    assert before.reasons == {"NO_CALIBRATOR"}
    assert before.acting == 0

    # When a first calibrator is registered as champion, the running sidecar takes it over by itself.
    first = loop.register_first_calibrator()
    loop.until_answers_carry(first)

    # Then the raw 0.90+ band breaks its promise, and the calibrated one keeps it.
    clean = loop.clean_images()
    assert clean.versions == {first}
    assert clean.actions == {"AUTO_ROUTE", "AUTO_ROUTE_FLAGGED", "HOLD_FOR_REVIEW", "REJECT"}
    assert not promise(clean.raw, clean.correct)
    assert promise(clean.calibrated, clean.correct)

    # A mandatory category is held, however sure the model is.
    surest = int(np.argmax(clean.calibrated))
    assert clean.decisions[surest].may_act
    price = loop.ask_about_pricing(clean.indices[surest])
    assert price.raw_confidence > 0.99
    assert (price.band, price.may_act) == ("auto", False)
    assert [floor.floor for floor in price.floors] == ["mandatory_category:pricing"]

    # Only a person releases it, and the caller hears of that.
    task, outcome = loop.review_most_urgent()
    assert task.decision_id == price.decision_id, "what must be seen by a person comes first"
    assert outcome.by_person
    assert outcome.kind in (review_pb2.OUTCOME_KIND_RELEASED, review_pb2.OUTCOME_KIND_CORRECTED)

    # When the world changes, the champion's promise does not hold any more.
    changed_at = time.time()
    noisy = loop.noisy_images()
    assert not promise(noisy.calibrated, noisy.correct)

    # A labeller works the queue, task by task: what was held, and the audits of what acted.
    labelled = loop.label_the_queue()
    assert labelled.held >= len(before.decisions)
    assert labelled.audited > 1000

    # A retrain from these labels gives a challenger, and a verdict with its reasons.
    retrained = loop.retrain(since=changed_at, promote=True)
    assert retrained.champion_version == first
    assert "IMPROVED" in [reason.code for reason in retrained.verdict.reasons]
    second = retrained.version

    # It would let far fewer answers act, which the gate leaves to a person.
    blocking = [reason.code for reason in retrained.verdict.reasons if reason.blocking]
    assert blocking == ["SHIFT_NEEDS_APPROVAL"], retrained.verdict.reasons
    assert not retrained.promoted
    tags = loop.tags(second)
    assert (tags["gate"], tags["champion_version"]) == ("needs_a_person", first)
    assert loop.route(FIRST).versions == {first}
    loop.approve(second)

    # The promotion goes live by itself, and can be seen in the answers.
    loop.until_answers_carry(second)
    after = loop.noisy_images()
    assert after.versions == {second}
    assert after.decisions[0].sidecar_id == before.decisions[0].sidecar_id
    assert promise(after.calibrated, after.correct)

    # A rollback revokes the version, and the sidecar goes back.
    moved = loop.roll_back()
    assert (moved.from_version, moved.to_version) == (second, first)
    assert "the story wants it" in loop.tags(second)["trueband.revoked"]
    loop.until_answers_carry(first)
    back = loop.route(FIRST)
    assert back.versions == {first}

    # Every decision can be explained, and decided again, bit for bit, under what was in force then.
    loop.label_the_queue()
    with loop.ledger() as ledger:
        for wave in (before, clean, noisy, after, back):
            for decision in wave.decisions[::5]:
                assert loop.differences(ledger, decision) == []
    for decision in (before.decisions[0], price, after.decisions[0]):
        assert loop.explain(decision) == 0
    explained = capsys.readouterr().out
    assert explained.count("1 of 1 answers agree bit for bit") == 3
    assert re.search(r"from review by demo-labeller\b.*, REVIEW_TASK, .*\n  COUNTED ", explained)
