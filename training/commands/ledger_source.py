"""The flags that say which ledger and which policy a command reads."""

import argparse
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.ledger.store import Ledger
    from sidecar.policy.loading import LoadedPolicy
    from sidecar.policy.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    add_ledger_arguments(parser)
    parser.add_argument(
        "--policy",
        type=Path,
        default=Path(os.environ["TRUEBAND_POLICY"]) if os.environ.get("TRUEBAND_POLICY") else None,
        metavar="FILE",
        help="the policy (default: TRUEBAND_POLICY, or what the newest decision was made under)",
    )


def add_ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds those that say which ledger."""
    parser.add_argument(
        "--ledger-url",
        default=os.environ.get("TRUEBAND_LEDGER_URL", ""),
        metavar="URL",
        help="of the ledger (default: TRUEBAND_LEDGER_URL, or SQLite in the data directory)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("TRUEBAND_DATA_DIR") or "trueband-data"),
        metavar="DIR",
        help="of the sidecar, where its SQLite ledger is (default: TRUEBAND_DATA_DIR, or trueband-data)",
    )


def snapshot(arguments: argparse.Namespace) -> "AbstractContextManager[Ledger]":
    """A snapshot of the ledger that the flags name."""
    from sidecar.ledger.snapshot import open_snapshot

    return open_snapshot(_url(arguments))


def original(arguments: argparse.Namespace) -> "Ledger":
    """The ledger itself, for what `training` remembers there; open a snapshot first, which says if there is one."""
    from sidecar.ledger.store import Ledger

    return Ledger(_url(arguments))


def _url(arguments: argparse.Namespace) -> str:
    return arguments.ledger_url or f"sqlite:///{arguments.data_dir.absolute() / 'ledger.db'}"


def policy(arguments: argparse.Namespace) -> "LoadedPolicy | None":
    """The policy that the flags name; None where they name none."""
    from sidecar.policy import loading

    return None if arguments.policy is None else loading.read(arguments.policy)


def model(loaded: "LoadedPolicy", name: str) -> "Model":
    """A model's section of a policy.

    Raises:
        RequestRefused: the policy does not have it.
    """
    from training import errors

    entry = loaded.policy.models.get(name)
    if entry is None:
        known = ", ".join(loaded.policy.models)
        raise errors.RequestRefused(f"the policy has no model {name!r}; it has {known}")
    return entry
