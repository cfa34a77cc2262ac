"""Provenance: what does not change from one decision to the next."""

import hashlib
from collections.abc import Callable
from typing import Self

import msgspec

from sidecar.decision.steps import CalibratorReference

Resolve = Callable[[str], "Provenance"]
"""Finds a provenance by its digest."""


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    policy_digest: str
    floors_digest: str = ""
    calibrator: CalibratorReference | None = None
    sidecar_id: str
    engine_version: str
    audit_key_id: str


class Provenance:
    """What decisions between two swaps share: recorded once, as a text behind a digest, and referred to by that.

    No struct itself, so that a record that holds one is encoded with its digest alone.

    Attributes:
        digest: the first 64 bits of SHA-256 over `text`, as 16 hexadecimal digits.
        policy_digest: of the policy's stored text.
        floors_digest: of the floors file's stored text; empty where there is none.
        calibrator: of the primary model's answers; None where nothing was in force.
        sidecar_id: who decided.
        engine_version: of the code that decides.
        audit_key_id: the key of the audit draws.
    """

    __slots__ = (
        "audit_key_id",
        "calibrator",
        "digest",
        "engine_version",
        "floors_digest",
        "policy_digest",
        "sidecar_id",
        "text",
    )

    def __init__(
        self,
        *,
        policy_digest: str,
        floors_digest: str = "",
        calibrator: CalibratorReference | None = None,
        sidecar_id: str,
        engine_version: str,
        audit_key_id: str,
    ) -> None:
        self.policy_digest = policy_digest
        self.floors_digest = floors_digest
        self.calibrator = calibrator
        self.sidecar_id = sidecar_id
        self.engine_version = engine_version
        self.audit_key_id = audit_key_id
        content = _Content(**{name: getattr(self, name) for name in _Content.__struct_fields__})
        self.text = msgspec.json.encode(content).decode()
        """All of it, as JSON: what is stored behind the digest."""
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The provenance that has this text.

        Raises:
            msgspec.DecodeError: it is none.
        """
        content = msgspec.json.decode(text, type=_Content)
        return cls(**{name: getattr(content, name) for name in _Content.__struct_fields__})

    @classmethod
    def missing(cls, digest: str) -> Self:
        """In place of one that nobody has any more: it names nothing but its digest."""
        nobody = cls(policy_digest="", sidecar_id="", engine_version="", audit_key_id="")
        nobody.digest = digest
        return nobody

    @property
    def known(self) -> bool:
        """Whether this is more than a digest."""
        return self.policy_digest != ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Provenance) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Provenance({self.digest}: {self.text})"
