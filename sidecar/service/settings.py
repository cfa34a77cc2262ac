"""How this process runs: from the environment, read once. What decisions mean is the policy's business."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sidecar import client, errors, shell
from sidecar.ledger import url_in
from sidecar.service.api import security

MIB = 1 << 20


class Settings(BaseSettings):
    """Each field is the environment variable TRUEBAND_<NAME>; the command line's flags win over it."""

    model_config = SettingsConfigDict(
        env_prefix="TRUEBAND_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    policy: Path = Field(description="The policy file.")
    floors: Path | None = Field(
        None, description="The floors file, with an owner of its own; a policy cannot take from it."
    )
    data_dir: Path = Field(
        Path(shell.DATA_DIR),
        description="Journal, cached calibrators, keys, and the ledger where it is SQLite.",
    )
    listen: str = Field(
        "127.0.0.1:50051", description="Address of the API: HOST:PORT on loopback, or unix:PATH."
    )
    health_listen: str = Field(
        "", description="A second address with nothing but plaintext health, for the kubelet."
    )
    metrics_listen: str = Field("", description="HOST:PORT of the Prometheus metrics; empty: none.")
    allow_plaintext: bool = Field(False, description="Let the API listen beyond loopback without TLS.")
    ledger_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the ledger; empty: SQLite in data_dir."
    )
    decision_key: SecretStr = Field(
        SecretStr(""), description="64 hex digits; makes decision ids. Empty: kept in data_dir."
    )
    audit_keys: SecretStr = Field(
        SecretStr(""), description="ID:HEX[,ID:HEX...]; the last one draws. Empty: kept in data_dir."
    )
    principals: Path | None = Field(
        None,
        description="File of who may call what, by digests of their tokens; empty: everybody, anonymously.",
    )
    poll_interval: float = Field(10.0, gt=0, le=3600, description="Seconds between looks at the registry.")
    policy_poll_interval: float = Field(
        2.0, gt=0, le=3600, description="Seconds between looks at the policy and the floors file."
    )
    suspension_poll_interval: float = Field(
        2.0, gt=0, le=3600, description="Seconds between looks at what other sidecars have suspended."
    )
    suspensions_max_age: float = Field(
        3600.0,
        ge=0,
        description="Seconds for which a start trusts what data_dir last knew of the suspensions while the ledger is "
        "away; after them, or on a new disk, nothing acts until the ledger has answered.",
    )
    drain_seconds: float = Field(
        10.0, ge=0, le=600, description="How long open calls and the journal may take at the end."
    )
    threads: int = Field(6, ge=1, le=256, description="Threads that answer Route and labels.")
    ledger_threads: int = Field(
        8, ge=1, le=256, description="Threads that answer what waits for the ledger; the others never do."
    )
    reflection: bool = Field(True, description="Whether tools may ask what the API offers (gRPC reflection).")
    max_concurrent_calls: int = Field(
        1024, ge=1, description="More than these at once are refused: RESOURCE_EXHAUSTED."
    )
    ready_without_calibrator: bool = Field(
        True, description="Whether a model without a calibrator, which holds, counts as ready."
    )
    ready_without_journal: bool = Field(
        True,
        description="Whether a service whose journal takes nothing, so that all is UNCERTAIN, counts as ready.",
    )
    journal_max_bytes: int = Field(1024 * MIB, ge=MIB, description="Bound of the journal on disk.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Level of the JSON logs."
    )

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        security.check_listen(self.listen, allow_plaintext=self.allow_plaintext)
        try:
            if self.health_listen:
                security.check_listen(self.health_listen, allow_plaintext=True)
            if self.metrics_listen:
                security.check_host_and_port(self.metrics_listen)
        except ValueError as error:
            raise ValueError(f"--health-listen or --metrics-listen: {error}") from error
        return self

    def ledger(self) -> str:
        """The ledger's URL."""
        return self.ledger_url.get_secret_value() or url_in(self.data_dir)


def misspelt(variables: Iterable[str]) -> dict[str, str]:
    """The environment variables that look like a setting and are none, with the setting that they look like.

    Others of the prefix are left alone: Kubernetes makes some for a Service that is called trueband.
    """
    known = [f"TRUEBAND_{name.upper()}" for name in Settings.model_fields]
    others = (*known, client.TOKEN_VARIABLE, client.ADDRESS_VARIABLE)  # of the clients
    found = {}
    for name in sorted(variables):
        if name.startswith("TRUEBAND_") and name not in others:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if near:
                found[name] = near[0]
    return found


def read(flags: dict[str, object]) -> Settings:
    """The settings from the environment, with the flags that were given on top.

    Raises:
        errors.SettingsRefused: naming each setting that is wrong.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except pydantic.ValidationError as error:
        mistakes = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            where = f"--{name.replace('_', '-')} (or TRUEBAND_{name.upper()}): " if name else ""
            mistakes.append(f"{where}{'is required' if item['type'] == 'missing' else message}")
        raise errors.SettingsRefused("; ".join(mistakes)) from error
