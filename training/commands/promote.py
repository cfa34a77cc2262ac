"""`promote`: moves an alias to a version by hand."""

import argparse
import sys


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "promote",
        help="move an alias to a version by hand",
        description="Moves an alias to a version of a registered model; every sidecar that follows the alias "
        "takes the new calibrator at its next poll. The version is verified first, and who moved the alias, "
        "from where and why is kept in its tags. A revoked version is refused. After a rollback, or a move by "
        "hand, this lets retrains promote again; name the version that the alias is at to confirm it.",
    )
    parser.add_argument("version", metavar="VERSION", help="the version's number")
    parser.add_argument(
        "--approve",
        action="store_true",
        help="approve that it changes the automatic share by more than the policy's admission.max_auto_shift; "
        "without, sidecars refuse such a version",
    )
    add_move_arguments(parser)
    parser.set_defaults(run=run)


def add_move_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what every move of an alias has to say."""
    parser.add_argument("--name", required=True, metavar="NAME", help="the registered model")
    parser.add_argument("--alias", default="champion", help="the alias (default: champion)")
    parser.add_argument("--by", metavar="WHO", help="who moves it (default: the user of this computer)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept with the move")


def run(arguments: argparse.Namespace) -> int:
    """Promotes, and says from where to where."""
    from training import registry
    from training.commands import registration

    registration.warn()
    moved = registry.promote(
        arguments.name,
        arguments.version,
        alias=arguments.alias,
        approve=arguments.approve,
        by=arguments.by or registry.person(),
        reason=arguments.reason,
    )
    if moved.from_version == moved.to_version:
        line = f"{moved.name}: {moved.alias} was at version {moved.to_version} already."
    elif moved.from_version is None:
        line = f"{moved.name}: {moved.alias} is now at version {moved.to_version}; it was nowhere before."
    else:
        line = f"{moved.name}: {moved.alias} moved from version {moved.from_version} to {moved.to_version}."
    sys.stdout.write(line + "\n")
    return 0
