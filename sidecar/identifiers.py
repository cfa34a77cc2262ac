"""Ids, and the keyed hashes behind them: what cannot be guessed, re-rolled or forged."""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable


def decision_id(key: bytes, tenant: str, model: str, request_id: str) -> str:
    """The id of the decision on a request: the same for every retry, on every sidecar with the same key.

    Keyed BLAKE2b (RFC 7693) over the length-prefixed parts, so that no two different triples hash the same
    bytes and nobody without the key can pick ids. 32 hexadecimal digits.
    """
    parts = (tenant.encode(), model.encode(), request_id.encode())
    message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hashlib.blake2b(message, key=key, digest_size=16).hexdigest()


def uuid7(seconds: float, random: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh UUIDv7 (RFC 9562) as 32 hexadecimal digits: sorts by time, cannot be guessed."""
    value = (int(seconds * 1000) & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"


def audit_draw(key: bytes, decision: str) -> float:
    """The audit draw of a decision: a number in [0, 1) that only holders of the key can compute.

    The first 64 bits of HMAC-SHA256 (RFC 2104) of the decision id, as a fraction. A decision is drawn if it
    is below the rate in force; a retry has the same id, so it cannot be drawn again.
    """
    digest = hmac.digest(key, decision.encode(), "sha256")
    # 53 of the 64 bits: all that a double keeps, and never rounded up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)
