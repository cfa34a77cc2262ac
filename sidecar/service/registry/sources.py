"""Sources: where a calibrator comes from, and what each says is the current one."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib import parse, request

from calibrators.errors import CalibratorRefused
from sidecar.errors import RegistryFailure

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest calibrator document; not a byte more is read, whatever the source sends."""

ANSWERED = frozenset(
    {"ALIAS_UNKNOWN", "REGISTERED_MODEL_UNKNOWN", "VERSION_UNKNOWN", "CALIBRATOR_MOVED", "FILE_UNREADABLE"}
)
"""Codes of failures in which the source is well and answers: asking again soon costs it little."""

NAMES_NOTHING = frozenset({"ALIAS_UNKNOWN", "REGISTERED_MODEL_UNKNOWN"})
"""Codes of failures in which a registry says that there is no such alias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a source says is current. Two equal answers mean the same document.

    Attributes:
        name: the registered model, or the file's path.
        version: its version number; empty for a file.
        digest: the digest that the document must have; None where the source states none.
        content: a digest of the bytes themselves, where the source is cheap enough to read for it.
        revoked: whether the version must not be used any more.
        approved: whether a person lets it change the routing by more than the policy does.
        tags: of the version, as far as they are Trueband's; what they tell of the past is no news.
    """

    name: str
    version: str = ""
    digest: str | None = None
    content: str = ""
    revoked: bool = False
    approved: bool = False
    tags: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class Source(Protocol):
    """Where a slot's calibrator comes from."""

    def current(self) -> Resolved:
        """What is current, cheaply.

        Raises:
            RegistryFailure: the source cannot be read, or names nothing.
        """
        ...

    def fetch(self, resolved: Resolved) -> bytes:
        """The document of what `current` answered, at most `MAX_DOCUMENT_BYTES`, not yet examined.

        Raises:
            RegistryFailure: the source cannot be read.
            CalibratorRefused: there is no document that could be accepted.
        """
        ...

    def revoked(self, version: str) -> bool:
        """Whether a version was revoked, whatever is current now.

        Raises:
            RegistryFailure: the source cannot be read.
        """
        ...

    def tags(self, version: str) -> Mapping[str, str]:
        """The tags of a version, as far as they are Trueband's; none where there is no such version.

        Raises:
            RegistryFailure: the source cannot be read.
        """
        ...


class FileSource:
    """A calibrator document in a file, for air-gapped use. A changed file is a new calibrator."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def current(self) -> Resolved:
        """What the file holds now."""
        content = hashlib.sha256(self._read()).hexdigest()
        return Resolved(name=str(self._path), content=f"sha256:{content}")

    def fetch(self, resolved: Resolved) -> bytes:  # noqa: ARG002 (a file has only its present content)
        """The file's bytes."""
        return self._read()

    def revoked(self, version: str) -> bool:  # noqa: ARG002
        """Never: whoever withdraws a file's calibrator replaces the file."""
        return False

    def tags(self, version: str) -> Mapping[str, str]:  # noqa: ARG002
        """None: a file has no tags."""
        return {}

    def _read(self) -> bytes:
        try:
            # Non-blocking, so that a pipe in the file's place cannot hold the refresh thread.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise RegistryFailure(
                        f"{self._path} is no regular file: name a calibrator document", code="FILE_UNREADABLE"
                    )
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise RegistryFailure(
                f"{self._path} cannot be read ({error.strerror}): put a calibrator document there, "
                "readable by the sidecar, or correct the policy's calibrator",
                code="FILE_UNREADABLE",
            ) from error
        except ValueError as error:  # a null byte in the path
            raise RegistryFailure(
                f"{str(self._path)!r} is no path: {error}", code="FILE_UNREADABLE"
            ) from error
        if len(data) > MAX_DOCUMENT_BYTES:
            raise too_large(str(self._path))
        return data


def file_path(uri: str) -> Path:
    """The path that a `file:` URI names: `file:PATH` as it stands, `file:///PATH` decoded as RFC 8089 says.

    Raises:
        RegistryFailure: it names another host.
    """
    rest = uri.removeprefix("file:")
    if not rest.startswith("//"):
        return Path(rest)
    parts = parse.urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise RegistryFailure(
            f"{uri} names the host {parts.netloc}; write file:PATH or file:///PATH", code="FILE_UNREADABLE"
        )
    return Path(request.url2pathname(parts.path))


def too_large(where: str) -> CalibratorRefused:
    """The refusal of a document that is longer than any calibrator's."""
    return CalibratorRefused(
        f"{where} is longer than {MAX_DOCUMENT_BYTES} bytes: it is no calibrator document",
        code="DOCUMENT_TOO_LARGE",
    )
