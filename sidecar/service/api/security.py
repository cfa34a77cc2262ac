"""Who may reach the service."""

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from sidecar import errors
from sidecar.service.principals import Principal

UNIX_PREFIX = "unix:"
AUTHORIZATION = "authorization"
BEARER = "bearer "


class KnownPrincipals(Protocol):
    """Tells principals apart."""

    def find(self, token: str) -> Principal | None:
        """Whose token it is, or None."""


def authenticate(metadata: Iterable[tuple[str, str | bytes]], known: KnownPrincipals) -> Principal:
    """Who sent a call with this metadata, by its one `authorization: Bearer TOKEN`.

    Raises:
        errors.Unauthenticated: there is no token, more than one, or an unknown one; the text is the same for
            all, so that nobody learns which tokens exist.
    """
    given = [value for name, value in metadata if name == AUTHORIZATION]
    if len(given) == 1 and isinstance(given[0], str) and given[0][: len(BEARER)].lower() == BEARER:
        principal = known.find(given[0][len(BEARER) :].strip())
        if principal is not None:
            return principal
    raise errors.Unauthenticated


def check_listen(address: str, *, allow_plaintext: bool) -> None:
    """Refuses an API address that others could reach in clear.

    Raises:
        ValueError: the address is malformed, or is neither a Unix socket nor loopback while plaintext beyond
            loopback is not allowed.
    """
    if address.startswith(UNIX_PREFIX):
        if len(address) == len(UNIX_PREFIX):
            raise ValueError("unix: needs a path, such as unix:/run/trueband/trueband.sock")
        return
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is no address: write HOST:PORT or unix:PATH")
    if allow_plaintext or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"{address} can be reached from outside in clear; listen on unix:PATH or 127.0.0.1:PORT, or set "
            "TRUEBAND_ALLOW_PLAINTEXT=true where the network is protected otherwise"
        )


def claim_socket(address: str) -> None:
    """Makes way for a Unix socket: its folder is made, and what a dead process left there is removed.

    Raises:
        errors.SettingsRefused: a living process listens there, the path is something else than a socket, or
            the folder cannot be used.
    """
    if not address.startswith(UNIX_PREFIX):
        return
    path = Path(address.removeprefix(UNIX_PREFIX))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise errors.SettingsRefused(
                    f"{path}: exists and is no socket; choose another path for --listen"
                )
            if _answers(path):
                raise errors.SettingsRefused(
                    f"{path}: another process listens there; stop it, or choose another path for --listen"
                )
            path.unlink()
    except OSError as error:
        raise errors.SettingsRefused(f"--listen {address}: {error.strerror}") from error


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def restrict_socket(address: str) -> None:
    """Lets the owner and the group, and nobody else, connect to a Unix socket."""
    if address.startswith(UNIX_PREFIX):
        Path(address.removeprefix(UNIX_PREFIX)).chmod(0o660)
