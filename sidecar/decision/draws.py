"""The draws: keyed hashes of a decision's id, which a retry cannot re-roll and an auditor can recompute."""

import hashlib


def audit_draw(key: bytes, decision: str) -> float:
    """The audit draw of a decision: a number in [0, 1) that only holders of the key can compute.

    The first 53 of 64 bits of keyed BLAKE2b (RFC 7693) of the decision id, as a fraction. A decision is drawn
    if it is below the rate in force; a retry has the same id, so it cannot be drawn again.
    """
    return _fraction(hashlib.blake2b(decision.encode(), key=key, digest_size=8).digest())


def blind_draw(key: bytes, decision: str, kind: str) -> float:
    """The draw that makes a decision's task of a kind a blind one: as `audit_draw`, and independent of it."""
    message = f"{decision}\0{kind}".encode()
    return _fraction(hashlib.blake2b(message, key=key, digest_size=8, person=b"blind").digest())


def _fraction(digest: bytes) -> float:
    # 53 bits are all that a double keeps; more would round the largest fractions up to 1.
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
