"""Who calls: principals, the file that names them, and how a token tells them apart."""

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sidecar import errors
from sidecar.policy import loading

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
LOOK_SECONDS = 2.0
ANONYMOUS_NAME = "anonymous"
_DIGEST_OF_NOTHING = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What a principal may do."""

    CALLER = "caller"
    REVIEWER = "reviewer"
    LEAD = "lead"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls, as authentication found it.

    Attributes:
        name: unique; stored with what the principal does.
        is_person: whether a person acts, rather than a service.
        roles: what it may do.
    """

    name: str
    is_person: bool
    roles: frozenset[Role]

    def has_any(self, roles: frozenset[Role]) -> bool:
        """Whether the principal has one of the roles."""
        return not self.roles.isdisjoint(roles)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is told apart, since there is no principals file."""
        return self.name == ANONYMOUS_NAME


ANONYMOUS = Principal(name=ANONYMOUS_NAME, is_person=False, roles=frozenset(Role))
"""Everybody, where there is no principals file: may call everything, and is not known to be a person."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$")
    kind: Literal["person", "service"]
    roles: list[Role] = Field(min_length=1)
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _is_somebody(self) -> Self:
        if self.name == ANONYMOUS_NAME:
            raise ValueError(f"name: {ANONYMOUS_NAME!r} is kept for calls without a principals file")
        if self.token_sha256 == _DIGEST_OF_NOTHING:
            raise ValueError("token_sha256: is the digest of an empty token, which anybody can send")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    principals: list[_Entry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Principals:
    """Principals by the SHA-256 digest of their token; the tokens themselves are nowhere."""

    by_digest: tuple[tuple[bytes, Principal], ...]

    def find(self, token: str) -> Principal | None:
        """Whose token it is, or None. Takes the same time for every token of a length; an empty one is nobody's."""
        if not token:
            return None
        given = hashlib.sha256(token.encode(errors="replace")).digest()
        found = None
        for digest, principal in self.by_digest:
            if hmac.compare_digest(digest, given):
                found = principal
        return found


def parse(text: str, *, name: str = "principals") -> Principals:
    """The principals in a YAML (or JSON) text: `principals: [{name, kind, roles, token_sha256}]`.

    Raises:
        errors.SettingsRefused: naming each mistake; never a token or its digest.
    """
    try:
        content = loading.plain(text, name)
    except errors.PolicyRefused:
        # Without its text, which may quote a token.
        raise errors.SettingsRefused(f"{name}: not YAML, or too much of it") from None
    try:
        entries = _File.model_validate(content).principals
    except pydantic.ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the whole file'}: {item['msg']}"
            for item in error.errors(include_input=False)
        )
        raise errors.SettingsRefused(
            f"{name}: {mistakes}. Write principals: [{{name: ada, kind: person, roles: [reviewer], "
            "token_sha256: <64 hexadecimal digits>}]"
        ) from error
    for what, values in (
        ("name", [entry.name for entry in entries]),
        ("token_sha256", [entry.token_sha256 for entry in entries]),
    ):
        if len(set(values)) != len(values):
            raise errors.SettingsRefused(f"{name}: two principals have the same {what}")
    return Principals(
        tuple(
            (
                bytes.fromhex(entry.token_sha256),
                Principal(name=entry.name, is_person=entry.kind == "person", roles=frozenset(entry.roles)),
            )
            for entry in entries
        )
    )


class PrincipalsFile:
    """The principals of a file, read again when it changes; a bad change is refused, and said in the log."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Reads the file once.

        Raises:
            errors.SettingsRefused: it cannot be read, or has mistakes.
        """
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._text = _text_of(path)
        self._current = parse(self._text, name=str(path))
        self._looked_at = monotonic()

    def find(self, token: str) -> Principal | None:
        """Whose token it is, or None; by the file as of at most two seconds ago."""
        if self._monotonic() - self._looked_at >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._looked_at = self._monotonic()
                self._look()
            finally:
                self._lock.release()
        return self._current.find(token)

    def _look(self) -> None:
        try:
            text = _text_of(self._path)
            if text == self._text:
                return
            self._text = text
            self._current = parse(text, name=str(self._path))
            logger.info("principals_in_force", extra={"fields": {"count": len(self._current.by_digest)}})
        except errors.SettingsRefused as error:
            logger.error("principals_refused", extra={"fields": {"cause": str(error)}})


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise errors.SettingsRefused(f"{path}: larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.SettingsRefused(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.SettingsRefused(f"{path}: is not UTF-8 text") from error
