"""`check`: proves that a policy keeps its promises."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import calibrators
from sidecar import errors
from sidecar.decision import proofs
from sidecar.policy import fallback, floors_file, loading, model
from sidecar.policy.detectors import Detector
from sidecar.service.registry.sources import file_path


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
    broken = proofs.violations(tables.values())
    if broken:
        raise errors.PolicyRefused("\n".join(["the policy breaks a promise:", *broken]))
    for name, table in tables.items():
        cells = list(proofs.cells(table))
        mandatory = sum(cell.mandatory for cell in cells)
        print(
            f"{name}: {len(cells)} cells enumerated, {mandatory} mandatory, every one of them ends with a person"
        )
    for name, entry in loaded.policy.models.items():
        for note in _without_lower_bound(name, entry):
            print(f"note: {note}")
    looking = [*loaded.policy.detectors, *(() if floors is None else floors.floors.detectors)]
    for name, entry in loaded.policy.models.items():
        for warning in _blind(name, entry, looking):
            print(f"warning: {warning}")
    for name, entry in loaded.policy.models.items():
        for warning in proofs.warnings(name, entry, tables[name]):
            print(f"warning: {warning}")
    if floors is not None:
        unused = floors_file.unused(tables, floors.floors)
        if unused:
            print(f"note: the floors name models that this policy does not have: {', '.join(unused)}")
        print(f"{arguments.floors}: good, digest {floors.digest}")
    print(f"{arguments.policy}: good, digest {loaded.digest}")
    return 0


def _blind(name: str, entry: model.Model, looking: Iterable[Detector]) -> Iterator[str]:
    """The detectors that find nothing where a caller sends none of their fields, a sentence each."""
    for detector in looking:
        fields = [field for field in detector.fields_ if field not in entry.require_context]
        if (detector.fields_ and not fields) or (not detector.fields_ and entry.require_context):
            continue
        where = f"context field {', '.join(fields)}" if fields else "context"
        wanted = ", ".join(fields) or "text"
        yield (
            f"{name}: detector {detector.name} passes what comes without {where}; demand it with "
            f"`require_context: [{wanted}]`"
        )


def _without_lower_bound(name: str, entry: model.Model) -> Iterator[str]:
    """The calibrators in files that give a model no number to cut its bands on, a sentence each."""
    if entry.band_on != "lower_bound":
        return
    chain = fallback.calibrators(entry.fallback)
    sources = {"the model": entry.calibrator}
    sources |= {f"version {version}": uri for version, uri in entry.versions.items()}
    sources |= {source: named.uri for source, named in chain.items()}
    for whose, uri in sources.items():
        if not uri.startswith("file:"):
            continue
        try:
            calibrator = calibrators.loads(file_path(uri).read_bytes())
        except (OSError, errors.TruebandError) as error:
            yield f"{name}: {uri} of {whose} cannot be read here, so its lower curve was not looked for: {error}"
            continue
        if calibrator.lower is None:
            yield (
                f"{name}: band_on is lower_bound, but {uri} of {whose} carries no lower curve, so every answer holds "
                "(NO_LOWER_BOUND): fit it with --lower 0.95"
            )
