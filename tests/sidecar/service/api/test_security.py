"""Who may reach the service."""

import os
import socket
import stat
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.service.api import security


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:50051", "127.8.8.8:0", "localhost:65535", "[::1]:50051", "unix:/run/t.sock", "unix:t.sock"],
)
def test_what_others_cannot_reach_may_be_listened_on(address):
    security.check_listen(address, allow_plaintext=False)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:50051",
        "[::]:50051",
        ":50051",
        "*:50051",
        "10.0.0.1:50051",
        "localhost.evil.example:50051",
        "127.0.0.1.evil.example:50051",
        "dns:///0.0.0.0:50051",
        "ipv4:0.0.0.0:50051",
    ],
)
def test_what_others_can_reach_in_clear_may_not(address):
    with pytest.raises(ValueError, match="can be reached from outside in clear"):
        security.check_listen(address, allow_plaintext=False)
    security.check_listen(address, allow_plaintext=True)


@pytest.mark.parametrize(
    "address",
    ["", "50051", "localhost", "localhost:", "localhost:http", "localhost:-1", "localhost:65536", "unix:"],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_no_address_is_refused(address, allowed):
    with pytest.raises(ValueError, match=r"HOST:PORT|needs a path"):
        security.check_listen(address, allow_plaintext=allowed)


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a Unix socket has room for about a hundred characters
    Path("run").mkdir()
    return "unix:run/t.sock"


def listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def test_a_socket_that_a_dead_process_left_makes_way(address):
    security.claim_socket(address)
    listen("run/t.sock").close()
    assert Path("run/t.sock").exists()
    security.claim_socket(address)
    assert not Path("run/t.sock").exists()
    security.claim_socket("127.0.0.1:50051")


def test_a_socket_that_somebody_listens_on_is_not_taken_away(address):
    security.claim_socket(address)
    with listen("run/t.sock") as listener:
        with pytest.raises(errors.SettingsRefused, match="another process listens there"):
            security.claim_socket(address)
        assert Path("run/t.sock").exists()
        listener.settimeout(5)
        listener.accept()[0].close()


def test_a_file_is_never_removed(address):
    Path("run/t.sock").write_text("precious")
    with pytest.raises(errors.SettingsRefused, match="is no socket"):
        security.claim_socket(address)
    assert Path("run/t.sock").read_text() == "precious"


def test_a_link_is_not_followed(address):
    Path("precious").write_text("x")
    Path("run/t.sock").symlink_to(Path("precious").absolute())
    with pytest.raises(errors.SettingsRefused, match="is no socket"):
        security.claim_socket(address)


def test_no_folder_is_made_for_a_path_with_a_slip(address):
    for wrong in ("unix:rnu/t.sock", "unix:rnu/deeper/t.sock", "unix:run/t.sock/x"):
        with pytest.raises(errors.SettingsRefused, match=r"there is no folder"):
            security.claim_socket(wrong)
    assert [path.name for path in Path().iterdir()] == ["run"]


def test_the_last_folder_of_the_usual_place_is_made(address, monkeypatch):
    monkeypatch.setattr(security, "DEFAULT_FOLDER", Path("run/trueband"))
    security.claim_socket("unix:run/trueband/t.sock")
    assert Path("run/trueband").is_dir()
    monkeypatch.setattr(security, "DEFAULT_FOLDER", Path("nowhere/trueband"))
    with pytest.raises(errors.SettingsRefused, match="No such file"):
        security.claim_socket("unix:nowhere/trueband/t.sock")


@pytest.mark.parametrize("length", [108, 300])
def test_a_path_that_no_socket_can_have_is_said(length):
    for allowed in (True, False):
        with pytest.raises(ValueError, match=f"room for 107 bytes, and .* has {length}"):
            security.check_listen("unix:" + "x" * length, allow_plaintext=allowed)
        with pytest.raises(ValueError, match="room for 107 bytes"):
            security.check_listen("unix:" + "é" * 54, allow_plaintext=allowed)
        security.check_listen("unix:" + "x" * 107, allow_plaintext=allowed)


@pytest.mark.parametrize("address", ["::1:50051", "2001:db8::7:50051", "::ffff:127.0.0.1:50051"])
def test_an_ipv6_address_without_brackets_is_told_how_to_write_it(address):
    host, _, port = address.rpartition(":")
    for allowed in (True, False):
        with pytest.raises(ValueError, match=rf"brackets, as in \[{host}\]:{port}"):
            security.check_listen(address, allow_plaintext=allowed)


def test_what_is_in_the_way_of_binding_is_told(address):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert security.why_not_bound(f"127.0.0.1:{port}").endswith("is another process listening there?")
    assert "assign requested address" in security.why_not_bound("203.0.113.7:0")
    assert "another process" not in security.why_not_bound("203.0.113.7:0")
    assert "another process" not in security.why_not_bound("no.such.host.invalid:0")


def test_a_new_socket_is_never_open_to_others(address):
    before = os.umask(0)
    try:
        with security.private_files():
            listener = listen("run/t.sock")
        with listener:
            assert stat.S_IMODE(Path("run/t.sock").stat().st_mode) & 0o007 == 0
        assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_a_socket_is_for_owner_and_group_alone(address):
    security.claim_socket(address)
    with listen("run/t.sock"):
        Path("run/t.sock").chmod(0o777)
        security.restrict_socket(address)
        assert stat.S_IMODE(Path("run/t.sock").stat().st_mode) == 0o660
    security.restrict_socket("127.0.0.1:50051")
