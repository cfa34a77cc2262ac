"""Versions: what the MLflow registry says about a registered model, and whether it can be believed."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from calibrators import Calibrator, errors, mlflow_flavor

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "trueband.sha256"
REVOKED_TAG = "trueband.revoked"
KIND_TAG = "trueband.kind"
APPROVED_TAG = "trueband.approved"
"""Lets a version change the routing by more than the policy's `admission.max_auto_shift`."""
UNDRAWN_TAG = "trueband.undrawn_labels"
"""How many labels that nobody drew the version was fitted to."""
GATE_REASONS_TAG = "gate_reasons"
CHAMPION = "champion"
PREVIOUS = "previous"
PAGE = 200
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


class RegistryRefused(errors.TruebandError):
    """The registry, or the state that it is in, does not allow what was asked.

    `code` on the instance narrows the reason: REGISTRY_UNAVAILABLE, REGISTERED_MODEL_UNKNOWN,
    VERSION_UNKNOWN, ALIAS_UNKNOWN, ALIAS_MOVED, APPROVAL_NEEDED, DIGEST_TAG_MISSING, DIGEST_MISMATCH,
    CALIBRATOR_REVOKED, HISTORY_MISSING or REQUEST_REFUSED.
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


CLIENT_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow would print run addresses between the lines, or into the JSON, that a command writes.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Its own, 120 seconds and 7 retries, take four minutes to say that nobody listens.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""What we set for MLflow where the user did not."""


def client() -> "MlflowClient":
    """MLflow's client, for the registry that MLflow's own settings name."""
    for key, value in CLIENT_ENVIRONMENT.items():
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
        if error.error_code in UNKNOWN and version is not None:
            raise RegistryRefused(
                f"the registry has no version {version} of {name}: look which versions there are",
                code="VERSION_UNKNOWN",
            ) from error
        if error.error_code in UNKNOWN:
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
        RegistryRefused: it was revoked, or is not what was registered.
        CalibratorRefused: its document is bad.
        MlflowException: there is no such version, or the registry cannot be read.
    """
    tags = registry.get_model_version(name, version).tags
    if REVOKED_TAG in tags:
        raise RegistryRefused(
            f"version {version} of {name} was revoked: {tags[REVOKED_TAG]}; fit and register a new one",
            code="CALIBRATOR_REVOKED",
        )
    if DIGEST_TAG not in tags:
        raise RegistryRefused(
            f"version {version} of {name} has no tag {DIGEST_TAG}, without which no sidecar takes it: "
            "register it with `fit ... --register`, or `retrain`, which set it",
            code="DIGEST_TAG_MISSING",
        )
    calibrator = mlflow_flavor.load_model(f"models:/{name}/{version}")
    if calibrator.digest != tags[DIGEST_TAG]:
        raise RegistryRefused(
            f"version {version} of {name} holds a document with digest {calibrator.digest}, but was "
            f"registered with {tags[DIGEST_TAG]}: its bytes were changed; register the calibrator again",
            code="DIGEST_MISMATCH",
        )
    return calibrator


def champion(name: str, alias: str = CHAMPION) -> tuple[str, Calibrator] | None:
    """The version that an alias names and its calibrator; None where there is none, or where it was revoked.

    Raises:
        RegistryRefused: the registry cannot be read, or the version cannot be verified.
        CalibratorRefused: its document is bad.
    """
    registry = client()
    try:
        with asking(name):
            version = alias_version(registry, name, alias)
            if version is None or REVOKED_TAG in registry.get_model_version(name, version).tags:
                return None
            return version, verified(registry, name, version)
    except RegistryRefused as refusal:
        if refusal.code == "REGISTERED_MODEL_UNKNOWN":
            return None
        raise
