"""Locations: the calibrator URIs of a policy, and the source that each stands for."""

import re
from pathlib import Path
from urllib import parse, request

from sidecar.errors import RegistryFailure
from sidecar.service.registry.mlflow_source import MlflowSource
from sidecar.service.registry.sources import FileSource, Source

MODELS_URI = re.compile(r"models:/([^/@]+)(?:@([A-Za-z0-9_-]+)|/([1-9][0-9]*))")


def open_source(uri: str, *, registry_uri: str | None = None, scratch: Path | None = None) -> Source:
    """The source behind a URI; nothing is read yet.

    Args:
        uri: `models:/NAME@alias`, `models:/NAME/3` or `file:PATH`.
        registry_uri: the address of the MLflow server; None takes it from the environment.
        scratch: an existing directory for downloads.

    Raises:
        RegistryFailure: it is none of these.
    """
    if uri.startswith("file:"):
        return FileSource(file_path(uri))
    match = MODELS_URI.fullmatch(uri)
    if match is None:
        raise RegistryFailure(
            f"{uri!r} is no calibrator source: write models:/NAME@champion, models:/NAME/3 or file:PATH",
            code="SOURCE_UNKNOWN",
        )
    name, alias, version = match.groups()
    return MlflowSource(name=name, alias=alias, version=version, registry_uri=registry_uri, scratch=scratch)


def alias_of(uri: str) -> tuple[str, str] | None:
    """The registered model and the alias that a URI names; None where it names no alias."""
    match = MODELS_URI.fullmatch(uri)
    if match is None or match.group(2) is None:
        return None
    return match.group(1), match.group(2)


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
