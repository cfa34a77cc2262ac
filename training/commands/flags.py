"""Flags that several commands have, and their types."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import calibrators


def calibrator(path: Path) -> "calibrators.Calibrator":
    """The calibrator that `--calibrator` names: in a file, or in the registry as `models:/NAME@champion`.

    Raises:
        RequestRefused: the file cannot be read.
        RegistryRefused: the registry cannot, or has no such version.
        CalibratorRefused: it is no valid document.
    """
    import calibrators
    from calibrators import errors as calibrator_errors
    from sidecar import dialect
    from training import errors

    if (place := dialect.registered(str(path))) is not None:
        from training.registry import versions

        return versions.at(place)
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise errors.RequestRefused(f"--calibrator {path}: cannot be read ({problem.strerror})") from problem
    try:
        return calibrators.loads(content)
    except calibrators.CalibratorRefused as problem:
        raise calibrator_errors.CalibratorRefused(f"{path}: {problem}", code=problem.code) from problem


def add_seed(parser: argparse.ArgumentParser, of: str, *, default: int = 0) -> None:
    """Adds `--seed`; `of` says what it decides."""
    parser.add_argument(
        "--seed", type=_seed, default=default, metavar="N", help=f"of {of} (default: {default})"
    )


def add_versions(
    parser: argparse._ActionsContainer,
    some: str = "only these model versions",
    all_: str = "pool all model versions",
) -> None:
    """Adds `--model-version` and `--any-version`; the texts say what either means."""
    versions = parser.add_mutually_exclusive_group()
    versions.add_argument("--model-version", nargs="+", action="extend", default=[], metavar="V", help=some)
    versions.add_argument("--any-version", action="store_true", help=all_)


def _seed(text: str) -> int:
    """A seed: a whole number that is not negative, as numpy's generators take it."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: it is a whole number from 0 on")
    return number
