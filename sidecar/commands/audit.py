"""`audit`: what was drawn for audit, stratum by stratum and week by week, and whether the keys agree."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from sidecar import errors, shell
from sidecar.commands.explain import audit_keys
from sidecar.decision import audit
from sidecar.ledger import audit_members, audit_periods
from sidecar.ledger.audit_members import PopulationCount, recount
from sidecar.policy.actions import Intent

MOST_TOLD = 20
HEADER = (
    *("week", "model", "version", "source", "band", "action", "rate", "budget"),
    *("N", "drawn", "sampled", "tau", "tasks", "done", "late"),
)


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "audit",
        help="list what was drawn for audit, and draw it again from the keys",
        description="Lists, for each week and stratum, how many decisions there were, how many were drawn, what the "
        "budget left of them and at which tau, and how many audit tasks are done; late are those that came when the "
        "period was closed, and were never sampled. With --recompute every draw is made again from the keys, and "
        "every sample: exit code 1 where anything disagrees, or cannot be drawn again.",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="only of this model")
    parser.add_argument(
        "--week", type=_week, metavar="WEEK", help="only of this ISO week (UTC), such as 2026-W47"
    )
    parser.add_argument("--recompute", action="store_true", help="draw again from the keys, and compare")
    shell.add_ledger(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the list, and what disagrees."""
    keys = None
    if arguments.recompute:
        keys = audit_keys(arguments)
        if not keys:
            raise errors.SettingsRefused(
                f"there is no audit key to draw again with: set TRUEBAND_AUDIT_KEYS, or name with --data-dir the "
                f"sidecar's directory ({arguments.data_dir} has no keys.json)"
            )
    with (
        shell.snapshot(arguments) as ledger,
        ledger.reading() as at,
    ):
        only = {"model": arguments.model, "week": arguments.week or ""}
        periods = audit_periods.periods(at, **only)
        counts = recount(audit_members.members(at, **only), periods, keys)
    if not counts:
        print("nothing could have been drawn: no decision has an audit rate above 0")
        return 0
    shell.show(_table([HEADER, *(_row(count) for count in counts)]))
    return 0 if keys is None else _verdict(counts)


def _week(text: str) -> str:
    try:
        audit.week_start(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _verdict(counts: Sequence[PopulationCount]) -> int:
    disagreements = [(count.population, sentence) for count in counts for sentence in count.disagreements]
    total = sum(count.n + count.n_late for count in counts)
    unchecked = sum(count.n_unchecked for count in counts)
    for population, sentence in disagreements[:MOST_TOLD]:
        shell.show([f"DISAGREES  {population.week} {population.model} {population.band}: {sentence}"])
    if len(disagreements) > MOST_TOLD:
        print(f"... and {len(disagreements) - MOST_TOLD} more")
    if unchecked:
        print(f"{unchecked} of {total} draws cannot be made again: their keys are not in TRUEBAND_AUDIT_KEYS")
    if disagreements or unchecked:
        return 1
    print(
        f"drawn again: {total} of {total} draws agree, and every closed sample is the one that the keys give"
    )
    return 0


def _row(count: PopulationCount) -> tuple[str, ...]:
    population, period = count.population, count.period
    if not population.audit_budget:
        budget, sampled, tau = "-", str(count.n_drawn), f"{population.audit_rate:g}"
    elif period is None:
        budget, sampled, tau = str(population.audit_budget), "open", "open"
    else:
        budget, sampled, tau = str(population.audit_budget), str(period.n_sampled), f"{period.tau:.6g}"
    shadow = " (shadow)" if population.intent is Intent.SHADOW else ""
    return (
        population.week,
        population.model,
        population.model_version or "-",
        population.source.lower(),
        population.band or "-",
        f"{population.action}{shadow}",
        f"{population.audit_rate:g}",
        budget,
        str(count.n),
        str(count.n_drawn),
        sampled,
        tau,
        str(count.n_tasks),
        str(count.n_completed),
        str(count.n_late),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
