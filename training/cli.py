"""The command line of `training`."""

import argparse
from collections.abc import Sequence

from sidecar import ENGINE_VERSION, shell
from training.commands import (
    bands,
    demo,
    evaluate,
    fit,
    import_labels,
    promote,
    recall,
    replay,
    report,
    retrain,
    rollback,
    rules,
    watch,
)

# In the order in which a newcomer needs them.
COMMANDS: tuple[shell.Command, ...] = (
    demo,
    replay,
    fit,
    evaluate,
    import_labels,
    report,
    watch,
    bands,
    retrain,
    rules,
    promote,
    rollback,
    recall,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    return shell.parser(
        "trueband-training",
        "Turns labels into calibrators that can be trusted, and says how good they are.",
        COMMANDS,
        version=f"trueband {ENGINE_VERSION}",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; see `shell.run`."""
    return shell.run(parser(), words)
