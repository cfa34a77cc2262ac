"""The cache: the last known good calibrator of each slot, on disk, to start from without a registry."""

import hashlib
import json
import math
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from calibrators.errors import TruebandError
from sidecar.service.registry.slots import Slot

SCHEMA = 1
MAX_CACHED_BYTES = 4 * 1024 * 1024
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class CacheUnusable(TruebandError):
    """A cached calibrator cannot be read or written. Deciding goes on; a restart would need the registry."""

    code = "CACHE_UNUSABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A calibrator as it was when its source last confirmed it.

    Attributes:
        uri: the source, as in the policy.
        name: the registered model, or the file's path.
        version: its version number; empty for a file.
        digest: the calibrator's digest.
        confirmed_at: seconds since the epoch.
        document: the calibrator's document.
    """

    uri: str
    name: str
    version: str
    digest: str
    confirmed_at: float
    document: str


class CalibratorCache:
    """One file for each slot in a directory of the sidecar's own, replaced whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> Path:
        """The directory, made if needed, without what an interrupted write left behind.

        Raises:
            CacheUnusable: it cannot be made or read.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left_over in self._directory.glob("*.tmp"):
                left_over.unlink(missing_ok=True)
        except OSError as error:
            raise CacheUnusable(f"{self._directory} cannot be used: {error.strerror}") from error
        return self._directory

    def path(self, slot: Slot) -> Path:
        """The file of a slot: readable, and distinct even for names that differ in odd characters alone."""
        exact = hashlib.sha256("\0".join(slot).encode()).hexdigest()[:16]
        readable = UNSAFE.sub("_", "-".join(filter(None, slot)))[:80]
        return self._directory / f"{readable}-{exact}.json"

    def write(self, slot: Slot, cached: Cached) -> None:
        """Replaces the slot's file; after a crash at any point there is the old one or the new one.

        Raises:
            CacheUnusable: it cannot be written.
        """
        body = json.dumps({"schema": SCHEMA, "slot": list(slot), **asdict(cached)}, allow_nan=False)
        text = json.dumps({"sha256": _checksum(body), "body": body})
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace(self.path(slot), text.encode())
        except OSError as error:
            raise CacheUnusable(f"{self.path(slot)} cannot be written: {error.strerror}") from error

    def read(self, slot: Slot, *, uri: str) -> Cached | None:
        """What is cached for a slot; None when nothing is.

        Raises:
            CacheUnusable: the file cannot be read, is not what `write` wrote, or came from another source
                than `uri`.
        """
        path = self.path(slot)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CACHED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheUnusable(f"{path} cannot be read: {error.strerror}") from error
        try:
            cached = _decode(data, slot)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CacheUnusable(f"{path} is damaged and is ignored: {error}") from error
        if cached.uri != uri:
            raise CacheUnusable(f"{path} came from {cached.uri}, not from {uri}, and is ignored")
        return cached

    def remove(self, slot: Slot) -> None:
        """Forgets a slot.

        Raises:
            CacheUnusable: its file cannot be removed.
        """
        try:
            self.path(slot).unlink(missing_ok=True)
            self._sync_directory()
        except FileNotFoundError:
            return
        except OSError as error:
            raise CacheUnusable(f"{self.path(slot)} cannot be removed: {error.strerror}") from error

    def _replace(self, path: Path, data: bytes) -> None:
        # mkstemp makes the file with mode 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=path.stem[:40], suffix=".tmp", dir=self._directory)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _decode(data: bytes, slot: Slot) -> Cached:
    if len(data) > MAX_CACHED_BYTES:
        raise ValueError(f"it is longer than {MAX_CACHED_BYTES} bytes")
    envelope = json.loads(data)
    body = envelope["body"]
    if envelope["sha256"] != _checksum(body):
        raise ValueError("its checksum is wrong")
    fields = json.loads(body)
    if fields.pop("schema") != SCHEMA:
        raise ValueError("it is of another version of the service")
    if fields.pop("slot") != list(slot):
        raise ValueError("it belongs to another slot")
    cached = Cached(**fields)
    texts = (cached.uri, cached.name, cached.version, cached.digest, cached.document)
    if not all(isinstance(text, str) for text in texts) or not math.isfinite(cached.confirmed_at):
        raise TypeError("a field is of the wrong type")
    return cached
