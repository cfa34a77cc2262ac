"""`rollback`: moves an alias back to where it was, and revokes the version that it leaves."""

import argparse
import sys

from training.commands import promote


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "rollback",
        help="move an alias back to where it was before",
        description="Moves an alias back to the version that it named before, and revokes the one that it "
        "leaves: no sidecar takes that one again. Versions that were revoked or deleted meanwhile are "
        "passed over. A second rollback goes one step further back. No retrain promotes over a rollback until a "
        "person has promoted.",
    )
    promote.add_move_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rolls back, and says from where to where."""
    from training import registry
    from training.commands import registration

    registration.warn()
    moved = registry.rollback(
        arguments.name,
        alias=arguments.alias,
        by=arguments.by or registry.person(),
        reason=arguments.reason,
    )
    sys.stdout.write(
        f"{moved.name}: {moved.alias} moved back from version {moved.from_version} to {moved.to_version}; "
        f"version {moved.from_version} is revoked.\n"
    )
    return 0
