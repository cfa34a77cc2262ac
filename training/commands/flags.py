"""Flags that several commands have, and their types."""

import argparse


def seed(text: str) -> int:
    """A seed: a whole number that is not negative, as numpy's generators take it."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: it is a whole number from 0 on")
    return number


def ago(text: str) -> float:
    """Seconds of a duration as the policy file writes it, such as 12h or 30d."""
    from sidecar.policy import fields

    try:
        return fields.seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_versions(parser: argparse.ArgumentParser) -> None:
    """Adds `--model-version` and `--any-version`: which versions' labels of the ledger count."""
    versions = parser.add_mutually_exclusive_group()
    versions.add_argument(
        "--model-version",
        nargs="+",
        action="extend",
        default=[],
        metavar="V",
        help="only these model versions",
    )
    versions.add_argument("--any-version", action="store_true", help="pool all model versions")
