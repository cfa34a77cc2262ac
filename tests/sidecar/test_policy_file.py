"""The policy in force follows its file, and a bad change changes nothing."""

import os
import threading
import time

import pytest

from sidecar import errors
from sidecar.policy import loading
from sidecar.policy_file import PolicyFile, admit

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
