"""Files that are there whole or not at all, whenever the process or the machine ends."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, data: bytes, *, private: bool = True, synced: bool = True) -> None:
    """Puts the data in the place of a file; after a sudden end there is the old one or the new one.

    Args:
        path: of the file; its directory is there.
        data: all of it.
        private: whether the owner alone may read it; else whom the process lets read what it makes.
        synced: whether it survives a loss of power once this returns; else the end of the process only.

    Raises:
        OSError: it cannot be written; the old one is there, and nothing else.
    """
    with _written_aside(path, data, mode=0o600 if private else 0o666, synced=synced) as aside:
        os.replace(aside, path)
    if synced:
        sync_directory(path.parent)


def create(path: Path, data: bytes) -> None:
    """Makes a file that the owner alone may read, unless it is there; of several processes, one makes it.

    Raises:
        OSError: it cannot be written; nothing of it is there.
    """
    with _written_aside(path, data, mode=0o600, synced=True) as aside, contextlib.suppress(FileExistsError):
        os.link(aside, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes the directory's entries survive a loss of power.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _written_aside(path: Path, data: bytes, *, mode: int, synced: bool) -> Iterator[Path]:
    """A new file beside another one that holds the data, and is gone in the end if nobody has moved it."""
    aside = path.with_name(f"{path.stem[:40]}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)
