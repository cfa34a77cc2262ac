"""`rules`: what the rules of a fallback chain are worth, measured, and published for the sidecar."""

import argparse

from sidecar import shell
from training.commands import ledger_source


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "rules",
        help="measure the rules of a fallback chain, and publish what each is worth",
        description="Measures how often each rule of a model's fallback chain was right, on the ledger's reviewed "
        "decisions. --publish registers the lower bound of each as the constant that the sidecar takes for the "
        "rule's confidence, once there are at least 30 effective labels; until then a rule clears nothing.",
    )
    parser.add_argument("--model", required=True, metavar="M", help="a key of the policy's models")
    ledger_source.add_arguments(parser)
    parser.add_argument("--publish", action="store_true", help="register, alias champion")
    parser.add_argument("--by", metavar="WHO", help="who publishes (default: the user of this computer)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints each rule's accuracy; publishes those with enough labels, if asked."""
    from sidecar.ledger import labelled
    from training import console, registry, rules
    from training.data import policies

    screen = console.console()
    with shell.snapshot(arguments) as ledger:
        loaded = ledger_source.policy(arguments) or policies.newest(ledger, arguments.model)
        entry = ledger_source.model(loaded, arguments.model)
        measured = rules.measure(
            ledger.read(
                labelled.labelled,
                arguments.model,
                criterion=entry.criterion,
                label_window_seconds=loaded.policy.label_window,
            )
        )
    if not measured:
        screen.print("No reviewed decision tells of a rule yet: no rule is worth anything, and none clears.")
    for accuracy in measured.values():
        line = (
            f"{accuracy.rule}: right in {accuracy.accuracy:.1%} of {accuracy.n} reviewed decisions "
            f"({accuracy.n_effective:.0f} effective), worth {accuracy.lower:.3f}"
        )
        if not accuracy.is_enough:
            line += f"; too few to claim anything: {rules.LEAST_LABELS} effective are needed"
        elif arguments.publish:
            who = arguments.by or registry.person()
            version = rules.publish(arguments.model, entry, accuracy, by=who)
            line += f"; published as version {version}"
        screen.print(line, markup=False)
    return 0
