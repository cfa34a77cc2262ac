"""The policy in force follows its file, and a bad change changes nothing."""

import os
import threading
import time

import pytest

from sidecar import errors
from sidecar.decision import proofs
from sidecar.decision.records import Artifact, InForce
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy import floors_file, loading
from sidecar.service.in_force import live_configuration
from sidecar.service.in_force.policy_file import PolicyFile, admit

GOOD = "version: 1\nmodels: {m: {calibrator: models:/c@champion, evidence: score}}\n"
OTHER = GOOD.replace("score}", "score, mode: observe}")
BAD = GOOD.replace("score}", "scores}")
WORSE = GOOD.replace("version: 1", "version: 2")


class Watched:
    """A policy file with a clock that is set, and what was said about its changes."""

    def __init__(self, path):
        self.path, self.now, self.changes, self.failure = path, 100.0, [], None
        path.write_text(GOOD, encoding="utf-8")
        self.file = PolicyFile(path, clock=lambda: self.now, on_change=self.changed, interval_seconds=0.01)

    def changed(self, policy):
        if self.failure is not None:
            raise self.failure
        self.changes.append(policy.loaded.digest)

    def look(self, text=None, at=200.0):
        if text is not None:
            self.path.write_text(text, encoding="utf-8")
        self.now = at
        self.file.look()
        return self.file


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path / "policy.yaml")


def test_there_must_be_a_good_policy_to_start_with(tmp_path):
    path = tmp_path / "policy.yaml"
    for text in (None, BAD):
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(errors.PolicyRefused, match=r"policy\.yaml"):
            PolicyFile(path, clock=time.time, on_change=print, interval_seconds=1)


def test_a_change_is_taken_over_and_told_once(watched):
    assert watched.file.current.since == 100.0
    file = watched.look(OTHER)
    assert file.current.loaded.digest == loading.parse(OTHER).digest
    assert file.current.tables["m"].observes
    assert file.current.since == 200.0
    watched.look(at=300.0)
    assert watched.changes == [file.current.loaded.digest]
    assert file.current.since == 200.0


def test_a_comment_is_no_change(watched):
    before = watched.file.current
    assert watched.look("# a comment\n" + GOOD).current is before
    assert watched.changes == []


def test_a_bad_policy_is_refused_and_the_old_one_stays(watched):
    before = watched.file.current
    file = watched.look(BAD)
    assert file.current is before
    assert "models.m.evidence" in file.last_error
    watched.look()
    assert "models.m.evidence" in file.last_error
    assert "version" in watched.look(WORSE).last_error
    assert watched.look(GOOD).last_error == ""
    assert watched.changes == []


def test_a_refusal_is_logged_once(watched, caplog):
    for _ in range(3):
        watched.look(BAD)
    assert [record.message for record in caplog.records] == ["policy_refused"]
    assert "models.m.evidence" in caplog.records[0].fields["cause"]


def test_a_file_that_is_away_for_a_moment_leaves_no_error_behind(watched):
    watched.path.unlink()
    assert "cannot be read" in watched.look().last_error
    assert watched.look(GOOD).last_error == ""
    watched.path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in watched.look().last_error
    assert watched.look(GOOD).last_error == ""


def test_a_bad_policy_is_still_bad_after_its_file_was_away(watched):
    watched.look(BAD)
    watched.path.unlink()
    assert "cannot be read" in watched.look().last_error
    assert "models.m.evidence" in watched.look(BAD).last_error


def test_a_change_that_could_not_be_recorded_is_tried_again(watched):
    """The journal was full when the policy changed; it must not take another edit of the file."""
    watched.failure = errors.JournalUnavailable("the disk is full")
    file = watched.look(OTHER)
    assert not file.current.tables["m"].observes
    assert file.last_error == "the disk is full"
    watched.failure = None
    assert watched.look().current.tables["m"].observes
    assert file.last_error == ""
    assert len(watched.changes) == 1


def test_the_swap_of_a_config_map_is_seen(tmp_path):
    """Kubernetes swaps a link to a folder; the path, and often the time and size of the file, stay."""
    for name, text in (("one", GOOD), ("two", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text, encoding="utf-8")
    link = tmp_path / "data"
    link.symlink_to("one")
    file = PolicyFile(link / "policy.yaml", clock=time.time, on_change=lambda _: None, interval_seconds=1)
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", link)
    file.look()
    assert file.current.tables["m"].observes


def test_the_watch_sees_changes_by_itself_and_outlives_surprises(watched):
    seen = threading.Event()
    told = watched.changed

    def changed(policy):
        if not watched.changes:
            watched.changes.append("surprise")
            raise RuntimeError("a surprise")
        told(policy)
        seen.set()

    watched.file._on_change = changed
    watched.file.start()
    try:
        watched.path.write_text(OTHER, encoding="utf-8")
        assert seen.wait(30)
    finally:
        watched.file.stop()
    assert watched.file.current.tables["m"].observes
    assert not watched.file._thread.is_alive()


def test_a_watch_that_never_began_can_be_stopped(watched):
    watched.file.stop()


def test_a_policy_that_breaks_a_promise_is_not_admitted(monkeypatch):
    """The schema lets none through; the proof stands behind it all the same."""
    monkeypatch.setattr("sidecar.policy.floors.PERSON_ACTIONS", frozenset({"AUTO_ROUTE"}))
    with pytest.raises(errors.PolicyRefused, match="the policy breaks a promise") as caught:
        admit(loading.parse(GOOD), since=0.0)
    assert 2 <= len(str(caught.value).splitlines()) <= 11


LISTS = GOOD.replace("score}", "score, categories: {general: {}, contracts: {mandatory_review: true}}}")
FLOORS = "version: 1\nmandatory_categories: [general]\n"
MORE_FLOORS = FLOORS + "detectors: [{name: d, category: legal, pattern: attorney}]\n"


class WatchedPair(Watched):
    """A policy file and a floors file."""

    def __init__(self, folder, floors=FLOORS, policy=LISTS):
        self.path, self.floors = folder / "policy.yaml", folder / "floors.yaml"
        self.now, self.changes, self.failure, self.suspended = 100.0, [], None, ()
        self.path.write_text(policy, encoding="utf-8")
        self.floors.write_text(floors, encoding="utf-8")
        self.file = PolicyFile(
            self.path,
            floors=self.floors,
            clock=lambda: self.now,
            on_change=self.changed,
            interval_seconds=0.01,
            suspended=lambda: self.suspended,
        )

    def changed(self, policy):
        super().changed(policy)
        self.changes[-1] = (policy.loaded.digest, policy.floors_digest)

    def both(self, policy, floors, at=200.0):
        self.floors.write_text(floors, encoding="utf-8")
        return self.look(policy, at)

    def mandatory(self, category):
        return proofs.mandatory_at(self.file.current.tables["m"], category, 0.99)


@pytest.fixture
def pair(tmp_path):
    return WatchedPair(tmp_path)


def test_a_configured_floors_file_must_be_there_and_good(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD, encoding="utf-8")
    floors = tmp_path / "floors.yaml"
    for text in (None, "version: 1\nmandatory: [a]"):
        if text is not None:
            floors.write_text(text, encoding="utf-8")
        with pytest.raises(errors.FloorsRefused, match=r"floors\.yaml"):
            PolicyFile(path, floors=floors, clock=time.time, on_change=print, interval_seconds=1)


def test_floors_bind_and_are_named(pair):
    assert pair.mandatory("general")
    assert pair.mandatory("contracts")
    assert pair.file.current.floors_digest == floors_file.parse(FLOORS).digest
    without = Watched(pair.path.with_name("other.yaml")).file
    assert without.current.floors is None
    assert without.current.floors_digest == ""


def test_a_change_of_the_floors_alone_is_taken_over(pair):
    before = pair.file.current
    pair.floors.write_text(MORE_FLOORS, encoding="utf-8")
    file = pair.look()
    assert file.last_error == ""
    assert len(file.current.detectors) == 1
    assert (file.current.since, file.current.floors_since) == (100.0, 200.0)
    assert file.current.loaded.digest == before.loaded.digest
    assert pair.changes == [(before.loaded.digest, floors_file.parse(MORE_FLOORS).digest)]
    pair.look(LISTS.replace("evidence: score", "evidence: score, mode: observe"), at=300.0)
    assert (file.current.since, file.current.floors_since) == (300.0, 200.0)


def test_bad_floors_are_refused_and_the_old_ones_stay_while_the_policy_moves_on(pair):
    before = pair.file.current
    file = pair.both(LISTS.replace("score,", "score, mode: observe,"), "version: 1\nmandatory: []")
    assert "floors.yaml" in file.last_error
    assert file.current.floors is before.floors
    assert file.current.tables["m"].observes
    assert pair.mandatory("general")


def test_good_floors_are_taken_over_though_the_policy_is_bad(pair):
    file = pair.both("version: 1", FLOORS.replace("[general]", "[general, refunds]"))
    assert "policy.yaml" in file.last_error
    assert pair.mandatory("refunds")
    assert file.current.since == 100.0


def test_floors_that_are_away_for_a_moment_change_nothing(pair):
    pair.floors.unlink()
    assert "floors.yaml: cannot be read" in pair.look().last_error
    assert pair.mandatory("general")
    pair.floors.write_text(FLOORS, encoding="utf-8")
    assert pair.look().last_error == ""
    assert pair.changes == []


def test_a_change_that_would_end_mandatory_review_is_refused_with_the_cell(pair):
    before = pair.file.current
    for policy, floors, cell in (
        (LISTS.replace("contracts: {mandatory_review: true}", "contracts: {}"), FLOORS, "contracts"),
        (LISTS.replace(", contracts: {mandatory_review: true}", ""), FLOORS, "contracts"),
        (LISTS, "version: 1", "general"),
        (LISTS, FLOORS.replace("[general]", "[other]"), "general"),
    ):
        file = pair.both(policy, floors)
        assert f"model m, category {cell}, confidence 0 to 0.5" in file.last_error
        assert "restart" in file.last_error
        assert pair.mandatory(cell)
        assert pair.both(LISTS, FLOORS).last_error == ""
    assert file.current.loaded is before.loaded
    assert file.current.floors.digest == before.floors.digest


def test_a_restart_may_end_mandatory_review(pair):
    pair.both(LISTS, "version: 1")
    assert pair.file.last_error
    again = PolicyFile(
        pair.path, floors=pair.floors, clock=time.time, on_change=print, interval_seconds=1
    ).current
    assert not proofs.mandatory_at(again.tables["m"], "general", 0.99)


def test_what_was_mandatory_stays_so_though_its_model_was_away_for_a_while(pair):
    """Renamed in one reload, brought back in the next one: the same refusal as in one step."""
    weaker = LISTS.replace("contracts: {mandatory_review: true}", "contracts: {}")
    assert pair.look(LISTS.replace("{m:", "{n:")).last_error == ""
    assert set(pair.file.current.tables) == {"n"}
    file = pair.look(weaker)
    assert "model m, category contracts" in file.last_error
    assert set(file.current.tables) == {"n"}
    assert pair.look(LISTS).last_error == ""
    assert pair.mandatory("contracts")


def test_required_context_ends_with_a_restart_only(pair):
    requiring = LISTS.replace("evidence: score", "evidence: score, require_context: [text]")
    assert pair.look(requiring).last_error == ""
    assert "context field text" in pair.look(LISTS).last_error
    assert pair.file.current.tables["m"].required_context == ("text",)


def test_a_suspension_still_binds_a_model_that_was_away_for_a_while(pair):
    scope = Scope(model="m", band="auto")
    pair.suspended = (
        Suspension(
            suspension_id="a" * 32,
            scope=scope,
            explanation="drift",
            suspended_by="ada",
            suspended_at=1.0,
            sidecar_id="s",
        ),
    )
    assert pair.look(LISTS.replace("{m:", "{n:")).last_error == ""
    bands = "evidence: score, bands: [{name: top, from: 0, action: AUTO_ROUTE}]"
    assert "a" * 32 in pair.look(LISTS.replace("evidence: score", bands)).last_error
    assert pair.look(LISTS).last_error == ""


def test_a_category_may_move_between_the_files_in_one_step(pair):
    moved = LISTS.replace("general: {}", "general: {mandatory_review: true}")
    file = pair.both(moved, "version: 1")
    assert file.last_error == ""
    assert pair.mandatory("general")
    file = pair.both(LISTS, FLOORS, at=300.0)
    assert file.last_error == ""
    assert pair.mandatory("general")


def test_a_refused_file_is_tried_again_when_the_other_one_changes(pair):
    """In which order a ConfigMap each arrives is nobody's choice."""
    file = pair.both(LISTS, "version: 1")  # the floors first: refused
    assert "category general" in file.last_error
    file = pair.look(LISTS.replace("general: {}", "general: {mandatory_review: true}"), at=300.0)
    assert file.last_error == ""
    assert file.current.floors_digest == floors_file.parse("version: 1").digest
    assert pair.mandatory("general")


def test_of_two_changes_the_one_that_widens_is_refused_and_the_other_taken(pair):
    file = pair.both(LISTS.replace("contracts: {mandatory_review: true}", "contracts: {}"), MORE_FLOORS)
    assert "category contracts" in file.last_error
    assert file.current.floors_digest == floors_file.parse(MORE_FLOORS).digest
    assert pair.mandatory("contracts")
    assert len(pair.changes) == 1


def test_a_change_that_would_make_a_suspension_bind_nothing_is_refused(pair):
    pair.suspended = (
        Suspension(
            suspension_id="a" * 32,
            scope=Scope(model="m", band="auto"),
            explanation="drift",
            suspended_by="ada",
            suspended_at=1.0,
            sidecar_id="s",
        ),
    )
    renamed = LISTS.replace(
        "evidence: score", "evidence: score, bands: [{name: top, from: 0, action: AUTO_ROUTE}]"
    )
    file = pair.look(renamed)
    assert "a" * 32 in file.last_error
    assert "resume" in file.last_error
    assert "a" * 32 in pair.look().last_error
    assert pair.changes == []
    pair.suspended = ()
    assert pair.look(at=300.0).last_error == ""
    assert pair.file.current.since == 300.0


def test_both_texts_and_moments_are_recorded(pair):
    current = pair.look(LISTS.replace("score,", "score, mode: observe,"), at=250.0).current
    records = live_configuration.policy_records("sidecar-a", current)
    artifacts = {each.kind: each for each in records if isinstance(each, Artifact)}
    assert artifacts["policy"].body == current.loaded.canonical
    assert floors_file.parse(artifacts["floors"].body).digest == artifacts["floors"].digest
    since = {each.slot: (each.digest, each.since) for each in records if isinstance(each, InForce)}
    assert since == {
        "policy": (current.loaded.digest, 250.0),
        "floors": (current.floors_digest, 100.0),
    }
