"""A journal's directory: who owns it, which journal it is, and what of it was released."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

from sidecar import errors
from sidecar.journal import segments
from sidecar.journal.segments import Position

_IDENTITY = "identity"
_RELEASED = "released"


def take(directory: Path) -> int:
    """Makes the directory if needed and takes it for this process until the returned descriptor is closed.

    Raises:
        errors.SettingsRefused: another process has it, or it cannot be made.
    """
    descriptor = -1
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise errors.SettingsRefused(
            f"the journal directory {directory} is in use by another process: "
            "give each sidecar a data directory of its own"
        ) from error
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise errors.SettingsRefused(f"the journal directory {directory} cannot be used: {error}") from error
    return descriptor


def identity(directory: Path, *, new: Callable[[], str]) -> str:
    """The journal's own name, made once.

    A ledger notes positions under it, so that the journal in a wiped directory is not
    taken for the one that it replaced.

    Raises:
        OSError: it can be neither read nor written.
    """
    path = directory / _IDENTITY
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text("ascii", errors="replace").strip()
        if text.isalnum():
            return text
    text = new()
    _replace(path, text + "\n", durable=True)
    return text


def remember_released(directory: Path, position: Position) -> None:
    """Notes up to where the journal is released, so that after a restart the backlog is known at once.

    It is a hint and only the ledger's own position counts, so a failure to write it is of no matter.
    """
    with contextlib.suppress(OSError):
        _replace(directory / _RELEASED, json.dumps([position.segment, position.offset]), durable=False)


def recall_released(directory: Path) -> Position | None:
    """What `remember_released` noted; None where nothing readable is there."""
    try:
        segment, offset = json.loads((directory / _RELEASED).read_text("ascii"))
    except (OSError, ValueError, TypeError):
        return None
    if type(segment) is not int or type(offset) is not int:
        return None
    return Position(segment, offset)


def _replace(path: Path, text: str, *, durable: bool) -> None:
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        segments.sync_directory(path.parent)
