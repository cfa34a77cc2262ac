"""What a failing registry means, and what to do about it."""

import re
from collections.abc import Callable
from typing import cast

from sidecar.errors import RegistryFailure

USERINFO = re.compile(r"(?<=//)[^/@\s'\"]+@")
MAX_MESSAGE = 400


def of(
    error: BaseException, *, registry: str, name: str, version: str | None = None, alias: str | None = None
) -> RegistryFailure:
    """The failure that an error of MLflow's client stands for.

    MLflow answers an unknown alias with 400 and anything else that is unknown with 404.

    Args:
        error: what the client raised.
        registry: the server's address.
        name: the registered model that was asked for.
        version: the version that was asked for, if any.
        alias: the alias that was asked for, if any.
    """
    text = str(error)
    status = _status(error)
    unknown = getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
    if status == 400 and alias is not None:
        return RegistryFailure(
            f"the registered model {name} has no alias {alias}: promote a version, "
            f"`python -m training promote VERSION --name {name} --alias {alias} --reason TEXT`",
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
            f"`python -m training fit ... --register {name} --alias {alias or 'champion'}`",
            code="REGISTERED_MODEL_UNKNOWN",
        )
    return of_status(status, text, registry=registry)


def of_status(status: int | None, text: str, *, registry: str) -> RegistryFailure:
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


def _status(error: BaseException) -> int | None:
    ask = getattr(error, "get_http_status_code", None)
    return cast("Callable[[], int]", ask)() if callable(ask) else None
