"""Ids, and the keyed hashes behind them: what cannot be guessed, re-rolled or forged."""

import hashlib
import random
import struct
from collections.abc import Callable

UINT64 = (1 << 64) - 1
VARIANT_MASK = (1 << 62) - 1

# Ids must be unique, not secret (what is secret is drawn by a keyed hash), and this is asked twice an answer.
_random_bits = random.Random().getrandbits  # noqa: S311


def decision_id(key: bytes, tenant: str, model: str, request_id: str, *, principal: str) -> str:
    """The id of the decision on a request: the same for every retry, on every sidecar with the same key.

    A principal's request ids are its own: whoever sends another one's gets a decision apart, on whichever
    sidecar, and cannot tell that the other one exists.

    Keyed BLAKE2b (RFC 7693) over the length-prefixed parts, so that no two different requests hash the same
    bytes and nobody without the key can pick ids. 32 hexadecimal digits.
    """
    parts = (principal.encode(), tenant.encode(), model.encode(), request_id.encode())
    message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hashlib.blake2b(message, key=key, digest_size=16).hexdigest()


def uuid7(seconds: float, random_bits: Callable[[int], int] = _random_bits) -> str:
    """A fresh UUIDv7 (RFC 9562) as 32 hexadecimal digits: sorts by time, unique without coordination."""
    chance = random_bits(74)
    high = int(seconds * 1000) << 16 | 0x7000 | chance >> 62
    return f"{high & UINT64:016x}{0x8 << 60 | chance & VARIANT_MASK:016x}"
