"""The flags that say which ledger a command reads, and what it finds beside it."""

import argparse
import os
from contextlib import AbstractContextManager
from pathlib import Path

from sidecar.ledger.snapshot import open_snapshot
from sidecar.ledger.store import Ledger
from sidecar.service.deciding import keys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
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
        help="of the sidecar: its ledger, and its keys (default %(default)s)",
    )


def snapshot(arguments: argparse.Namespace) -> AbstractContextManager[Ledger]:
    """A snapshot of the ledger that the flags name."""
    return open_snapshot(arguments.ledger_url or f"sqlite:///{arguments.data_dir.absolute() / 'ledger.db'}")


def audit_keys(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The audit keys by id, from the environment or the data directory; none is made."""
    return keys.known_audit(os.environ.get("TRUEBAND_AUDIT_KEYS", ""), arguments.data_dir)
