"""MLflow as a source: an alias or a version of a registered model, read through mlflow-skinny.

MLflow is imported at the first use, which is in the refresh thread: it takes a second and 60 MB. Its defaults
block for minutes on a dead registry, so tight time-outs are set before, unless the environment has its own.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib import parse

from calibrators.errors import CalibratorRefused
from sidecar import dialect
from sidecar.errors import RegistryFailure
from sidecar.service.registry import sources
from sidecar.service.registry.sources import FileSource, Resolved, Source

DOCUMENT = "calibrator.json"
DOWNLOAD_SECONDS = 10.0
CHUNK_BYTES = 64 * 1024
USERINFO = re.compile(r"(?<=//)[^/@\s'\"]+@")
MAX_MESSAGE = 400

CLIENT_ENVIRONMENT = {
    **dialect.client_environment(seconds=2, retries=0),
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""What we set for MLflow where the user did not: the next poll is the retry."""


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
        return FileSource(sources.file_path(uri))
    registered = dialect.registered(uri)
    if registered is None:
        raise RegistryFailure(
            f"{uri!r} is no calibrator source: write {dialect.SOURCE_FORMS}", code="SOURCE_UNKNOWN"
        )
    return MlflowSource(
        name=registered.name,
        alias=registered.alias or None,
        version=registered.version or None,
        registry_uri=registry_uri,
        scratch=scratch,
    )


class MlflowSource:
    """A registered model's version, by alias or by number.

    The registry's address and login are MLflow's own settings: MLFLOW_REGISTRY_URI or else
    MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN and so on.
    """

    def __init__(
        self,
        *,
        name: str,
        alias: str | None = None,
        version: str | None = None,
        registry_uri: str | None = None,
        scratch: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """A source.

        Args:
            name: the registered model.
            alias: its alias, or None when `version` is given.
            version: its version number, or None when `alias` is given.
            registry_uri: the http(s) address of the MLflow server; None takes it from the environment.
            scratch: an existing directory for downloads that cannot be streamed; None takes the system's.
            monotonic: seconds of a clock that only goes forward.
        """
        if (alias is None) == (version is None):
            raise ValueError("a source is an alias or a version")
        self._name = name
        self._alias = alias
        self._version = version
        self._registry_uri = registry_uri
        self._scratch = scratch
        self._monotonic = monotonic

    def current(self) -> Resolved:
        """What the alias names now: one small request."""
        registry, client = self._client()
        try:
            if self._alias is not None:
                found = client.get_model_version_by_alias(self._name, self._alias)
            else:
                found = client.get_model_version(self._name, self._version)
            return self._resolved(found)
        except Exception as error:
            self._fail(error, registry, version=self._version, alias=self._alias)

    def revoked(self, version: str) -> bool:
        """Whether a version carries the mark of revocation. One that was deleted carries none."""
        return dialect.REVOKED_TAG in self.tags(version)

    def tags(self, version: str) -> Mapping[str, str]:
        """The tags of a version, as far as they are Trueband's."""
        registry, client = self._client()
        try:
            return self._resolved(client.get_model_version(self._name, version)).tags
        except Exception as error:
            try:
                self._fail(error, registry, version=version)
            except RegistryFailure as failure:
                if failure.code in ("VERSION_UNKNOWN", "REGISTERED_MODEL_UNKNOWN"):
                    return {}
                raise

    def fetch(self, resolved: Resolved) -> bytes:
        """The document of a version, by its number, never by the alias."""
        if resolved.digest is None:
            raise dialect.without_digest(f"{resolved.name} version {resolved.version}")
        registry, client = self._client()
        try:
            location = client.get_model_version_download_uri(self._name, resolved.version)
            return self._download(location, registry, resolved)
        except CalibratorRefused:
            raise
        except Exception as error:
            self._fail(error, registry, version=resolved.version)

    def _client(self) -> tuple[str, Any]:
        registry = registry_address(self._registry_uri, os.environ)
        for key, value in CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise RegistryFailure(
                f"MLflow's client cannot be imported ({error}): install mlflow-skinny, or use file: sources",
                code="REGISTRY_CLIENT_MISSING",
            ) from error
        return registry, MlflowClient(tracking_uri=registry, registry_uri=registry)

    def _resolved(self, found: Any) -> Resolved:
        version = str(found.version)
        if not (version.isascii() and version.isdecimal()):
            raise RegistryFailure(
                f"the registry calls a version {version[:40]!r}: that is no MLflow registry"
            )
        own = {key: value for key, value in found.tags.items() if key.startswith(dialect.OWN_TAGS)}
        return Resolved(
            name=self._name,
            version=version,
            digest=own.get(dialect.DIGEST_TAG),
            revoked=dialect.REVOKED_TAG in own,
            approved=bool(own.get(dialect.APPROVED_TAG, "").strip()),
            tags=own,
        )

    def _download(self, location: str, registry: str, resolved: Resolved) -> bytes:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        repository = get_artifact_repository(location, tracking_uri=registry, registry_uri=registry)
        while hasattr(repository, "repo"):  # models: and runs: locations wrap the real one
            repository = repository.repo
        where = f"{DOCUMENT} of {resolved.name} version {resolved.version}"
        if isinstance(repository, HttpArtifactRepository):
            return self._stream(repository.artifact_uri, registry, where)
        return self._copy(repository, where)

    def _stream(self, address: str, registry: str, where: str) -> bytes:
        """The document through the server, reading no more than the largest, and not for ever."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import MlflowHostCreds, http_request

        # Whoever may register a version names its location: our login is for the registry alone.
        own = parse.urlsplit(address)[:2] == parse.urlsplit(registry)[:2]
        login: Any = (
            get_default_host_creds(address) if own else MlflowHostCreds(host=address)  # type: ignore[no-untyped-call]
        )
        deadline = self._monotonic() + DOWNLOAD_SECONDS
        data = bytearray()
        with http_request(login, f"/{DOCUMENT}", "GET", stream=True) as response:  # type: ignore[no-untyped-call]
            if response.status_code == 404:
                raise missing(where)
            if response.status_code != 200:
                text = response.raw.read(500, decode_content=True).decode("utf-8", "replace")
                raise failure_of_status(response.status_code, text, registry=address)
            # One read of the socket each: a server that sends a byte now and then must not get past the
            # deadline.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                data += chunk
                if len(data) > sources.MAX_DOCUMENT_BYTES:
                    raise sources.too_large(where)
                if self._monotonic() > deadline:
                    raise RegistryFailure(f"{where} did not arrive within {DOWNLOAD_SECONDS:g} s")
        return bytes(data)

    def _copy(self, repository: Any, where: str) -> bytes:
        """The document from a store that MLflow reads itself, by way of a directory that does not stay."""
        sizes = {info.path: info.file_size for info in repository.list_artifacts(None)}
        if DOCUMENT not in sizes:
            raise missing(where)
        if (sizes[DOCUMENT] or 0) > sources.MAX_DOCUMENT_BYTES:
            raise sources.too_large(where)
        with tempfile.TemporaryDirectory(prefix="download-", dir=self._scratch) as directory:
            path = repository.download_artifacts(DOCUMENT, dst_path=directory)
            with open(path, "rb") as file:
                data = file.read(sources.MAX_DOCUMENT_BYTES + 1)
        if len(data) > sources.MAX_DOCUMENT_BYTES:
            raise sources.too_large(where)
        return data

    def _fail(
        self, error: Exception, registry: str, *, version: str | None, alias: str | None = None
    ) -> NoReturn:
        if isinstance(error, RegistryFailure):
            raise error
        raise failure_of(error, registry=registry, name=self._name, version=version, alias=alias) from error


def registry_address(given: str | None, environment: Mapping[str, str]) -> str:
    """The address of the MLflow server.

    Raises:
        RegistryFailure: there is none, or it is no http(s) address.
    """
    address = given or environment.get("MLFLOW_REGISTRY_URI") or environment.get("MLFLOW_TRACKING_URI")
    if not address:
        raise RegistryFailure(
            "no MLflow server is configured: set MLFLOW_TRACKING_URI=http://HOST:PORT, or use file: sources",
            code="REGISTRY_NOT_CONFIGURED",
        )
    scheme = parse.urlsplit(address).scheme
    if scheme not in ("http", "https"):
        raise RegistryFailure(
            f"the sidecar reads MLflow servers over http or https, not {scheme or address!r}: start "
            "`mlflow server` on that store and set MLFLOW_TRACKING_URI=http://HOST:PORT",
            code="REGISTRY_SCHEME_UNSUPPORTED",
        )
    return address.rstrip("/")


def missing(where: str) -> CalibratorRefused:
    """The refusal of a version without a document."""
    return CalibratorRefused(
        f"there is no {where}: register it with `trueband-training fit --register`", code="DOCUMENT_MISSING"
    )


def failure_of(
    error: BaseException, *, registry: str, name: str, version: str | None = None, alias: str | None = None
) -> RegistryFailure:
    """The failure that an error of MLflow's client stands for.

    MLflow answers an unknown alias with 400 and anything else that is unknown with 404, and says so in a JSON of its
    own. Only that is believed: what stands between here and there, such as a proxy, answers so as well.

    Args:
        error: what the client raised.
        registry: the server's address.
        name: the registered model that was asked for.
        version: the version that was asked for, if any.
        alias: the alias that was asked for, if any.
    """
    text = str(error)
    code, said = _own_answer(error)
    unknown = code in dialect.UNKNOWN_CODES and "model" in said.lower()
    if code == "INVALID_PARAMETER_VALUE" and "alias" in said.lower() and alias is not None:
        return RegistryFailure(
            f"the registered model {name} has no alias {alias}: promote a version, "
            f"`trueband-training promote VERSION --name {name} --alias {alias} --reason TEXT`",
            code="ALIAS_UNKNOWN",
        )
    if unknown and (version is not None or "Model Version" in text):
        return RegistryFailure(
            f"the registered model {name} has no version {version or 'that its alias names'}: "
            "name one that exists in the policy, or move the alias",
            code="VERSION_UNKNOWN",
        )
    if unknown:
        return RegistryFailure(
            f"the registry {readable(registry)} has no registered model {name}: register a calibrator, "
            f"`trueband-training fit ... --register {name} --alias {alias or dialect.CHAMPION}`",
            code="REGISTERED_MODEL_UNKNOWN",
        )
    return failure_of_status(_status(error), text, registry=registry)


def failure_of_status(status: int | None, text: str, *, registry: str) -> RegistryFailure:
    """The failure that an HTTP status and its text stand for, whatever was asked for."""
    where = readable(registry)
    if "Invalid Host header" in text:
        return RegistryFailure(
            f"{where} refuses requests under that host name: start `mlflow server` with --allowed-hosts "
            "and the name and port in that address (its /health answers all the same)",
            code="REGISTRY_HOST_REFUSED",
        )
    if status in (401, 403):
        return RegistryFailure(
            f"{where} denies access ({status}): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or MLFLOW_TRACKING_TOKEN, of a user that may read the registered model",
            code="REGISTRY_ACCESS_DENIED",
        )
    return RegistryFailure(f"{where} cannot be read: {readable(text)}")


def readable(text: str) -> str:
    """The text on one line, without logins in addresses, and not longer than a status line bears."""
    flat = USERINFO.sub("", " ".join(text.split()))
    return flat if len(flat) <= MAX_MESSAGE else flat[: MAX_MESSAGE - 1] + "…"


def _own_answer(error: BaseException) -> tuple[str, str]:
    """The code and the message of an error that MLflow's server told; empty where something else answered."""
    body = getattr(
        error, "json", None
    )  # of a RestException, whose own code may have been made up from a status
    if not isinstance(body, dict):
        return "", ""
    code, message = body.get("error_code"), body.get("message")
    return (code, message) if isinstance(code, str) and isinstance(message, str) else ("", "")


def _status(error: BaseException) -> int | None:
    ask = getattr(error, "get_http_status_code", None)
    return cast("Callable[[], int]", ask)() if callable(ask) else None
