"""Who may reach the service."""

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from sidecar import errors
from sidecar.service.principals import Principal

UNIX_PREFIX = "unix:"
DEFAULT_FOLDER = Path("/run/trueband")
MOST_PATH_BYTES = 107
"""Of a Unix socket's path, on Linux; the 108th ends it."""

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
        check_socket_path(address)
        return
    host = check_host_and_port(address)
    if allow_plaintext or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"{address} can be reached from outside in clear; listen on unix:PATH or 127.0.0.1:PORT, or set "
            "TRUEBAND_ALLOW_PLAINTEXT=true where the network is protected otherwise"
        )


def check_socket_path(address: str) -> None:
    """Refuses `unix:` with a path that no socket can have.

    Raises:
        ValueError: it is empty, or longer than the operating system takes.
    """
    path = address.removeprefix(UNIX_PREFIX)
    if not path:
        raise ValueError("unix: needs a path, such as unix:/run/trueband/trueband.sock")
    if len(os.fsencode(path)) > MOST_PATH_BYTES:
        raise ValueError(
            f"the path of a Unix socket has room for {MOST_PATH_BYTES} bytes, and {path} has "
            f"{len(os.fsencode(path))}; choose a shorter one"
        )


def check_host_and_port(address: str) -> str:
    """The host of `HOST:PORT`, without the brackets of IPv6; it may be empty.

    Raises:
        ValueError: it is no such address.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not (port.isascii() and port.isdecimal()) or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is no address: write HOST:PORT or unix:PATH")
    bracketed = host.startswith("[") and host.endswith("]")
    if not bracketed and _is_ipv6(host):
        raise ValueError(f"{address!r} is no address: an IPv6 host needs brackets, as in [{host}]:{port}")
    return host[1:-1] if bracketed else host


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def claim_socket(address: str) -> None:
    """Makes way for a Unix socket: what a dead process left there is removed.

    The last folder of the place that the chart uses is made. Any other one must be there: a path with a slip in it
    shall not grow folders.

    Raises:
        errors.SettingsRefused: a living process listens there, the path is something else than a socket, or
            the folder cannot be used.
    """
    if not address.startswith(UNIX_PREFIX):
        return
    path = Path(address.removeprefix(UNIX_PREFIX))
    try:
        if path.parent == DEFAULT_FOLDER:
            path.parent.mkdir(exist_ok=True)
        if not path.parent.is_dir():
            raise errors.SettingsRefused(
                f"--listen {address}: there is no folder {path.parent}; make it, or correct the path"
            )
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


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """What is made in here is for owner and group alone, from the first moment on."""
    before = os.umask(0o007)
    try:
        yield
    finally:
        os.umask(before)


def why_not_bound(address: str) -> str:
    """What is in the way of listening there, in the operating system's words: gRPC does not tell."""
    if address.startswith(UNIX_PREFIX):
        folder = Path(address.removeprefix(UNIX_PREFIX)).parent
        writable = os.access(folder, os.W_OK | os.X_OK)
        return "cannot be bound" if writable else f"the folder {folder} cannot be written to"
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
    except (OSError, ValueError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        return (
            f"{getattr(error, 'strerror', None) or error}{'; is another process listening there?' * in_use}"
        )
    return "cannot be bound"
