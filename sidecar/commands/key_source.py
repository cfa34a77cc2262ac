"""The audit keys that a reading command has: from the environment, or the data directory; none is made."""

import argparse
import os

from sidecar.service.deciding import keys


def audit_keys(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The audit keys by id, with the flags of `ledger_source`; none where there are none."""
    return keys.known_audit(os.environ.get("TRUEBAND_AUDIT_KEYS", ""), arguments.data_dir)
