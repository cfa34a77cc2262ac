"""The flags that say which ledger and which policy a command reads."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import shell

if TYPE_CHECKING:
    from sidecar.ledger.store import Ledger
    from sidecar.policy.loading import LoadedPolicy
    from sidecar.policy.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    shell.add_ledger(parser)
    parser.add_argument(
        "--policy",
        type=Path,
        default=Path(os.environ["TRUEBAND_POLICY"]) if os.environ.get("TRUEBAND_POLICY") else None,
        metavar="FILE",
        help="the policy (default: TRUEBAND_POLICY, or what the newest decision was made under)",
    )


def original(arguments: argparse.Namespace) -> "Ledger":
    """The ledger itself, for what `training` remembers there; open a snapshot first, which says if there is one."""
    from sidecar.ledger.store import Ledger

    return Ledger(shell.ledger_url(arguments))


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
