"""Who may reach the service."""

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
    return "unix:run/t.sock"


def listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def test_a_socket_that_a_dead_process_left_makes_way(address):
    security.claim_socket(address)
    assert Path("run").is_dir()
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
    Path("run").mkdir()
    Path("run/t.sock").write_text("precious")
    with pytest.raises(errors.SettingsRefused, match="is no socket"):
        security.claim_socket(address)
    assert Path("run/t.sock").read_text() == "precious"


def test_a_link_is_not_followed(address):
    Path("run").mkdir()
    Path("precious").write_text("x")
    Path("run/t.sock").symlink_to(Path("precious").absolute())
    with pytest.raises(errors.SettingsRefused, match="is no socket"):
        security.claim_socket(address)


def test_a_folder_that_cannot_be_made_is_said(address):
    Path("run").write_text("a file")
    with pytest.raises(errors.SettingsRefused, match=r"--listen unix:run/t\.sock"):
        security.claim_socket(address)


def test_a_socket_is_for_owner_and_group_alone(address):
    security.claim_socket(address)
    with listen("run/t.sock"):
        Path("run/t.sock").chmod(0o777)
        security.restrict_socket(address)
        assert stat.S_IMODE(Path("run/t.sock").stat().st_mode) == 0o660
    security.restrict_socket("127.0.0.1:50051")
