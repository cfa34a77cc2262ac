"""What a sidecar last saw of everything that governs it, in one file, so that a restart sees what changed."""

import os
from pathlib import Path

import msgspec

from sidecar.dialect import Place

MOST_BYTES = 1 << 20


class LastSeen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was last seen.

    Attributes:
        policy: the digest of the policy; empty: not seen yet.
        floors: the digest of the floors; empty: none.
        places: where each alias was, by `NAME@alias`.
    """

    policy: str = ""
    floors: str = ""
    places: dict[str, Place] = {}


_decoder: msgspec.json.Decoder[LastSeen] = msgspec.json.Decoder(LastSeen)


def read(path: Path) -> LastSeen:
    """What the file says; nothing was seen yet where there is none, or none that can be understood."""
    try:
        with path.open("rb") as file:
            return _decoder.decode(file.read(MOST_BYTES))
    except (OSError, msgspec.DecodeError):
        return LastSeen()


def write(path: Path, seen: LastSeen) -> None:
    """Replaces the file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(seen))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
