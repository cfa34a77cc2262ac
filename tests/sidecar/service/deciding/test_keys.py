"""Keys come from the settings or from a file that is made once, whole and private."""

import json
import os
import stat
import threading

import pytest

from sidecar import errors
from sidecar.service.deciding import keys

DECISION, FIRST, SECOND = "00" * 32, "11" * 32, "22" * 32


def test_the_settings_win_and_leave_no_file(tmp_path):
    loaded = keys.load(DECISION, f"k1:{FIRST}, k2:{SECOND}", tmp_path)
    assert loaded.decision == bytes(32)
    assert loaded.audit == (("k1", b"\x11" * 32), ("k2", b"\x22" * 32))
    assert loaded.current_audit == ("k2", b"\x22" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_made_once_private_and_whole(tmp_path):
    first = keys.load("", "", tmp_path)
    assert keys.load("", "", tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert keys.load("", "", other).decision != first.decision


def test_each_key_may_come_from_another_place(tmp_path):
    stored = keys.load("", "", tmp_path)
    mixed = keys.load(DECISION, "", tmp_path)
    assert (mixed.decision, mixed.audit) == (bytes(32), stored.audit)
    assert keys.load("", f"k9:{FIRST}", tmp_path).decision == stored.decision


def test_who_only_reads_makes_no_keys(tmp_path):
    assert keys.known_audit("", tmp_path) == {}
    assert keys.known_audit(f"k1:{FIRST}", tmp_path / "nowhere") == {"k1": b"\x11" * 32}
    assert list(tmp_path.iterdir()) == []
    stored = keys.load("", "", tmp_path)
    assert keys.known_audit("", tmp_path) == dict(stored.audit)
    assert list(keys.known_audit(f"k1:{FIRST},k2:{SECOND}", tmp_path)) == ["k1", "k2"]
    for wrong in ("nonsense", f"k1:{FIRST},k1:{SECOND}", "k1:00"):
        with pytest.raises(errors.SettingsRefused, match="TRUEBAND_AUDIT_KEYS"):
            keys.known_audit(wrong, tmp_path)
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(errors.SettingsRefused, match="not a key file"):
        keys.known_audit("", tmp_path)


def test_keys_do_not_show_themselves(tmp_path):
    loaded = keys.load(DECISION, f"k1:{FIRST}", tmp_path)
    assert repr(loaded) == "Keys(audit ids: k1)"
    assert "11" not in f"{loaded!s}{loaded!r}".replace("k1", "")


@pytest.mark.parametrize(
    ("decision", "audit", "words"),
    [
        ("abc", f"k1:{FIRST}", "TRUEBAND_DECISION_KEY: must be 64 hexadecimal digits"),
        ("zz" * 32, f"k1:{FIRST}", "TRUEBAND_DECISION_KEY"),
        ("00" * 33, f"k1:{FIRST}", "TRUEBAND_DECISION_KEY"),
        (DECISION, FIRST, "ID:HEX"),
        (DECISION, f":{FIRST}", "ID:HEX"),
        (DECISION, f"k1:{FIRST},", "ID:HEX"),
        (DECISION, "k1:11", "TRUEBAND_AUDIT_KEYS (k1)"),
        (DECISION, f"k1:{FIRST},k1:{SECOND}", "stands twice"),
    ],
)
def test_a_malformed_key_is_refused_and_not_shown(decision, audit, words, tmp_path):
    with pytest.raises(errors.SettingsRefused) as caught:
        keys.load(decision, audit, tmp_path)
    assert words in str(caught.value)
    assert FIRST not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"decision": 5, "audit": {"k1": "x"}}', '{"decision": "00", "audit": {}}'],
)
def test_a_damaged_file_is_refused_and_kept(content, tmp_path):
    """Never made anew: another decision key would make every retry another decision."""
    path = tmp_path / "keys.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(errors.SettingsRefused, match="restore it"):
        keys.load("", "", tmp_path)
    assert path.read_text(encoding="utf-8") == content


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(errors.SettingsRefused, match="cannot be made"):
        keys.load("", "", tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(errors.SettingsRefused):
        keys.load("", "", tmp_path / "file")


def test_a_sudden_end_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def die(_):
        raise OSError(5, "power loss")

    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", die)
        with pytest.raises(errors.SettingsRefused):
            keys.load("", "", tmp_path)
    assert not (tmp_path / "keys.json").exists()
    assert keys.load("", "", tmp_path).decision


def test_sidecars_that_start_at_once_agree(tmp_path):
    found, ready = [], threading.Barrier(8)

    def start():
        ready.wait()
        found.append(keys.load("", "", tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({(each.decision, each.audit) for each in found}) == 1
    assert json.loads((tmp_path / "keys.json").read_text())["decision"] == found[0].decision.hex()
