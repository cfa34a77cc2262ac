"""`check`: proves that a policy keeps its promises."""

import argparse
import json
from pathlib import Path
from typing import Any

from sidecar import errors
from sidecar.policy import chain_checks, checks, floors_file, loading, model


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "check",
        help="prove that a policy has no gap, overlap or dead band, and that mandatory review is kept",
        description="Proves a policy: exit code 0, or 2 with every mistake named by its key.",
    )
    parser.add_argument("policy", type=Path, nargs="?", metavar="POLICY", help="the policy file")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="the floors file that binds it")
    schema = parser.add_mutually_exclusive_group()
    schema.add_argument("--schema", action="store_true", help="print the policy file's JSON Schema instead")
    schema.add_argument("--floors-schema", action="store_true", help="print that of the floors file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the proof, or the mistakes."""
    if arguments.schema:
        print(json.dumps(model.json_schema(), indent=2))
        return 0
    if arguments.floors_schema:
        print(json.dumps(floors_file.json_schema(), indent=2))
        return 0
    if arguments.policy is None:
        raise errors.PolicyRefused("name the policy file, or ask for --schema")
    loaded = loading.read(arguments.policy)
    floors = None if arguments.floors is None else floors_file.read(arguments.floors)
    tables = floors_file.merge(loaded.policy, None if floors is None else floors.floors)
    broken = chain_checks.all_violations(tables.values())
    if broken:
        raise errors.PolicyRefused("\n".join(["the policy breaks a promise:", *broken]))
    for name, table in tables.items():
        cells = list(checks.enumerate_cells(table))
        mandatory = sum(cell.mandatory for cell in cells)
        told = f"{len(cells)} cells enumerated, {mandatory} mandatory, every one of them ends with a person"
        print(f"{name}: {told}")
    if floors is not None:
        unused = floors_file.unused(tables, floors.floors)
        if unused:
            print(f"note: the floors name models that this policy does not have: {', '.join(unused)}")
        print(f"{arguments.floors}: good, digest {floors.digest}")
    print(f"{arguments.policy}: good, digest {loaded.digest}")
    return 0
