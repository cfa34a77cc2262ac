"""`check`: proves that a policy keeps its promises."""

import argparse
import json
from pathlib import Path
from typing import Any

from sidecar import errors
from sidecar.policy import checks, loading, model
from sidecar.policy.tables import compile_policy


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "check",
        help="prove that a policy has no gap, no overlap, no dead band, and that mandatory cells end with a person",
        description="Proves a policy: exit code 0, or 2 with every mistake named by its key.",
    )
    parser.add_argument("policy", type=Path, nargs="?", metavar="POLICY", help="the policy file")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the file instead")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the proof, or the mistakes."""
    if arguments.schema:
        print(json.dumps(model.json_schema(), indent=2))
        return 0
    if arguments.policy is None:
        raise errors.PolicyRefused("name the policy file, or ask for --schema")
    loaded = loading.read(arguments.policy)
    tables = compile_policy(loaded.policy)
    broken = [violation for table in tables.values() for violation in checks.violations(table)]
    if broken:
        raise errors.PolicyRefused("\n".join(["the policy breaks a promise:", *broken]))
    for name, table in tables.items():
        cells = list(checks.enumerate_cells(table))
        mandatory = sum(cell.mandatory for cell in cells)
        print(
            f"{name}: {len(cells)} cells enumerated, {mandatory} mandatory, every one of them ends with a person"
        )
    print(f"{arguments.policy}: good, digest {loaded.digest}")
    return 0
