"""The file in which a sidecar keeps what is suspended, so that a restart forgets nothing."""

import os
from pathlib import Path

import msgspec

from sidecar import errors
from sidecar.decision import suspensions
from sidecar.decision.suspensions import Event, Suspensions

VERSION = 1
MAX_BYTES = 16 << 20


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    events: tuple[Event, ...]


def read(path: Path) -> Suspensions:
    """What the file says; nothing is suspended where there is none.

    Raises:
        errors.SuspensionsUnreadable: there is a file, and it cannot be understood.
    """
    try:
        with path.open("rb") as file:
            body = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Suspensions()
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error
    if len(body) > MAX_BYTES:
        raise _refusal(path, f"larger than {MAX_BYTES >> 20} MiB")
    try:
        kept = msgspec.json.decode(body, type=_Kept)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(path, str(error)) from error
    if kept.version != VERSION:
        raise _refusal(path, f"of version {kept.version}, which another version of Trueband has written")
    return suspensions.merge(Suspensions(), kept.events)


def write(path: Path, known: Suspensions) -> None:
    """Replaces the file; after a sudden end at any point there is the old one or the new one.

    One process writes it, one call at a time.

    Raises:
        OSError: it cannot be written.
    """
    body = msgspec.json.encode(_Kept(version=VERSION, events=known.events()))
    aside = path.with_name(f"{path.name}.tmp")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refusal(path: Path, cause: str) -> errors.SuspensionsUnreadable:
    return errors.SuspensionsUnreadable(
        f"{path}: cannot be read ({cause}), so it is not known what is suspended, and nothing may start to "
        "act; restore the file, or move it away once a person has made sure that the ledger, or a fresh "
        "`suspend` right after the start, says the same"
    )
