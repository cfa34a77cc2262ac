"""Versions: what the MLflow registry says about a registered model, and whether it can be believed."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from calibrators import Calibrator, errors, mlflow_flavor
from sidecar import dialect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

UNDRAWN_TAG = "trueband.undrawn_labels"
"""How many labels that nobody drew the version was fitted to."""
GATE_REASONS_TAG = "gate_reasons"
PAGE = 200


class RegistryRefused(errors.TruebandError):
    """The registry, or the state that it is in, does not allow what was asked.

    `code` on the instance narrows the reason: REGISTRY_UNAVAILABLE, REGISTERED_MODEL_UNKNOWN,
    VERSION_UNKNOWN, ALIAS_UNKNOWN, ALIAS_MOVED, APPROVAL_NEEDED, HISTORY_MISSING or REQUEST_REFUSED.
    """

    code: ClassVar[str] = "REGISTRY_REFUSED"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.__dict__["code"] = code


def person() -> str:
    """Who runs this process, as far as the operating system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def client(*, seconds: int = 10, retries: int = 2) -> "MlflowClient":
    """MLflow's client, for the registry that MLflow's own settings name.

    Args:
        seconds: that a request may take, unless the environment says otherwise.
        retries: of a request, likewise.
    """
    for key, value in dialect.client_environment(seconds=seconds, retries=retries).items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    return MlflowClient()


def address() -> str:
    """Where the registry is, without a name or password."""
    import mlflow

    uri = str(mlflow.get_registry_uri())
    scheme, mark, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


@contextmanager
def asking(name: str, version: str | None = None) -> Iterator[None]:
    """Turns what MLflow raises inside into our refusals.

    Args:
        name: the registered model that is asked for.
        version: its version that is asked for, if any.

    Raises:
        RegistryRefused: MLflow raised.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in dialect.UNKNOWN_CODES and version is not None:
            raise RegistryRefused(
                f"the registry has no version {version} of {name}: look which versions there are",
                code="VERSION_UNKNOWN",
            ) from error
        if error.error_code in dialect.UNKNOWN_CODES:
            raise RegistryRefused(
                f"the registry has no registered model {name}: register a calibrator under that name first, "
                f"`fit ... --register {name}`",
                code="REGISTERED_MODEL_UNKNOWN",
            ) from error
        text = " ".join(str(error).split())[:400]
        if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise RegistryRefused(
                f"the registry does not accept that: {text}", code="REQUEST_REFUSED"
            ) from error
        raise RegistryRefused(
            f"the registry cannot be used: {text}; check MLFLOW_TRACKING_URI, and that the server runs",
            code="REGISTRY_UNAVAILABLE",
        ) from error


def alias_version(registry: "MlflowClient", name: str, alias: str) -> str | None:
    """The version that an alias names; None where there is no such alias.

    Raises:
        MlflowException: there is no such registered model, or the registry cannot be read.
    """
    # Only this and the alias endpoint know the aliases; searches leave them out.
    found = registry.get_registered_model(name).aliases.get(alias)
    return None if found is None else str(found)


def all_versions(registry: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Every version of a registered model, with its tags."""
    quoted = name.replace("'", "''")
    versions: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = registry.search_model_versions(f"name='{quoted}'", max_results=PAGE, page_token=token)
        versions += [version for version in page if version.name == name]
        token = page.token
        if not token:
            return versions


def verified(registry: "MlflowClient", name: str, version: str) -> Calibrator:
    """The calibrator of a version, if a sidecar would take it too.

    Raises:
        CalibratorRefused: it was revoked, or is not what was registered, or its document is bad.
        MlflowException: there is no such version, or the registry cannot be read.
    """
    tags = registry.get_model_version(name, version).tags
    subject = f"{name} version {version}"
    if dialect.REVOKED_TAG in tags:
        raise dialect.revoked(subject, tags[dialect.REVOKED_TAG])
    if dialect.DIGEST_TAG not in tags:
        raise dialect.without_digest(subject)
    calibrator = mlflow_flavor.load_model(dialect.Registered(name, version=version).uri)
    if calibrator.digest != tags[dialect.DIGEST_TAG]:
        raise dialect.altered(subject, calibrator.digest, tags[dialect.DIGEST_TAG])
    return calibrator


def champion(name: str, alias: str = dialect.CHAMPION) -> tuple[str, Calibrator] | None:
    """The version that an alias names and its calibrator; None where there is none, or where it was revoked.

    Raises:
        RegistryRefused: the registry cannot be read.
        CalibratorRefused: the version cannot be verified.
    """
    registry = client()
    try:
        with asking(name):
            version = alias_version(registry, name, alias)
            if version is None or dialect.REVOKED_TAG in registry.get_model_version(name, version).tags:
                return None
            return version, verified(registry, name, version)
    except RegistryRefused as refusal:
        if refusal.code == "REGISTERED_MODEL_UNKNOWN":
            return None
        raise


def at(place: dialect.Registered) -> Calibrator:
    """The calibrator that an address in the registry names, verified.

    Raises:
        RegistryRefused: the registry cannot be read, or there is no such version or alias.
        CalibratorRefused: the version cannot be verified.
    """
    registry = client()
    with asking(place.name, place.version or None):
        version = place.version or alias_version(registry, place.name, place.alias)
        if version is None:
            raise RegistryRefused(
                f"the registry's {place.name} has no alias {place.alias}: promote a version, or name one as "
                f"models:/{place.name}/3",
                code="ALIAS_UNKNOWN",
            )
        return verified(registry, place.name, version)
