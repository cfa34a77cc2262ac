"""`bands`: cut-offs that labels certify and costs call for, as a diff of the policy."""

import argparse
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar import shell, times
from training.commands import flags, labelled_file, ledger_source

if TYPE_CHECKING:
    from sidecar.policy.loading import LoadedPolicy
    from sidecar.policy.model import Costs, Model
    from training.cut_offs.material import Material
    from training.cut_offs.proposal import Proposal


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "bands",
        help="certify cut-offs by labels, weigh them with costs, and propose a diff of the policy",
        description="Finds the loosest cut-offs whose accuracy is certain enough, by exact tests on labels that the "
        "calibrator was not fitted to, from the ledger (--model) or a file (--from-file). With costs, the cheapest "
        "cut-offs that are certified. Says what work they make, and writes a diff of the policy, never the policy. "
        "Exit code 0 includes `no automatic band can be certified yet`. A certificate is one look at the labels: "
        "who tries again on the same ones, with another target or seed, spends delta again.",
    )
    parser.add_argument("--model", metavar="M", help="a key of the policy's models")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        required=True,
        metavar="BAND=SHARE",
        help="at least this share of the band's answers must be correct, such as auto=0.90; once for each band",
    )
    parser.add_argument(
        "--delta",
        default="0.10",
        metavar="D",
        help="at most this probability that a certified band breaks its promise, all together (default: 0.10)",
    )
    parser.add_argument(
        "--costs",
        metavar="NAME=NUMBER,...",
        help="error, review, review_error_rate, flag, flag_catch_rate, escalation, rejection, value, in any one "
        "unit (default: the policy's; `none` leaves costs out)",
    )
    parser.add_argument(
        "--minutes-per-review", type=float, metavar="MIN", help="how long a person looks at an answer"
    )
    parser.add_argument(
        "--calibrator",
        type=Path,
        metavar="FILE",
        help="a calibrator document, or models:/NAME@champion (default: with --model that of the newest decision; with "
        "--from-file one is fitted to half of the rows)",
    )
    parser.add_argument(
        "--unseen",
        action="store_true",
        help="with --from-file and --calibrator: you vouch that it was fitted to none of the rows, where no times show "
        "it (rows whose times do not are left out)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIFF", help="where the diff goes (default: standard output)"
    )
    flags.add_seed(parser, "divisions and thinning")
    ledger_source.add_arguments(parser)
    flags.add_versions(parser)
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="only decisions from then on: so long ago, such as 30d, or a date (default: all)",
    )
    labelled_file.add_arguments(parser, required=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Certifies, prints, and writes the diff."""
    from training import console, errors
    from training.cut_offs import proposal, request, summary

    _require_consistent(arguments)
    targets = request.targets(arguments.target)
    delta = request.delta(arguments.delta)
    screen = console.console()
    try:
        loaded, name, entry, material = _material(arguments)
    except errors.NotEnoughLabels as reason:
        for line in summary.nothing_yet(str(reason), targets, delta):
            screen.print(line, markup=False)
        return 0
    costs = _costs(arguments, entry)
    bands, given = entry.bands, material.confidence
    # Once: what is certified twice on the same labels, with costs and without, spends delta twice.
    proposed = proposal.propose(
        bands, targets, material.sample, given, delta=float(delta), costs=costs, lowest=material.lowest
    )
    for line in summary.describe(arguments.from_file or name, material):
        screen.print(line, markup=False)
    screen.print(summary.certificates_table(proposed))
    if not proposed.certified:
        screen.print("No automatic band can be certified yet:", style="bold")
        for each in proposed.certificates:
            screen.print(f"  {each.band}: {summary.missing(each)}.", markup=False)
    else:
        screen.print(f"All of this holds together with confidence {1 - delta} (delta {delta}).", markup=False)
    sets = [("in the policy", proposal.current(bands))]
    if costs is not None:
        sets.append(("cheapest", proposal.cheapest(bands, costs)))
    if proposed.certified:
        sets.append(("certified" if costs is None else "proposed", proposed.cut_offs))
    _show(screen, sets, entry, material, arguments.minutes_per_review)
    if proposed.certified:
        day = datetime.now(tz=UTC).date().isoformat()
        _write(
            arguments, loaded, name, proposed, delta, summary.comment(proposed, material, delta, day), screen
        )
    elif arguments.out is not None:
        kept = "; the file of that name is from an earlier run" if arguments.out.exists() else ""
        screen.print(f"No diff was written to {arguments.out}{kept}.", markup=False)
    return 0


def _require_consistent(arguments: argparse.Namespace) -> None:
    from training import errors

    if not arguments.from_file and not arguments.model:
        raise errors.RequestRefused("--model M is needed, for the ledger's labels, or --from-file F")
    if arguments.from_file and (arguments.model_version or arguments.any_version or arguments.since):
        raise errors.RequestRefused(
            "--model-version, --any-version and --since choose labels of the ledger, not of a file"
        )
    if arguments.unseen and not (arguments.from_file and arguments.calibrator):
        raise errors.RequestRefused("--unseen vouches for a --calibrator and the rows of a --from-file")
    if arguments.from_file and arguments.model and arguments.policy is None:
        raise errors.RequestRefused(
            "--model with --from-file names a model of a policy: add --policy FILE, or leave --model out"
        )
    if arguments.out and arguments.policy is None:
        raise errors.RequestRefused("--out needs --policy FILE: a diff is of a file")
    minutes = arguments.minutes_per_review
    if minutes is not None and not 0 < minutes < 1e6:
        raise errors.RequestRefused("--minutes-per-review must be above 0")


def _material(arguments: argparse.Namespace) -> "tuple[LoadedPolicy | None, str, Model, Material]":
    """The policy (None: there is none), the model's name in it, its section, and what there is to decide with."""
    from training import errors
    from training.cut_offs import material
    from training.data import policies

    loaded = ledger_source.policy(arguments)
    calibrator = None if arguments.calibrator is None else flags.calibrator(arguments.calibrator)
    if not arguments.from_file:
        with shell.snapshot(arguments) as ledger:
            in_force = loaded or policies.newest(ledger, arguments.model)
            entry = ledger_source.model(in_force, arguments.model)
            gathered = material.from_ledger(
                ledger,
                arguments.model,
                in_force,
                calibrator,
                versions=tuple(arguments.model_version),
                pool=arguments.any_version,
                since=None if arguments.since is None else arguments.since.seen_from(time.time()),
                seed=arguments.seed,
            )
        return loaded, arguments.model, entry, gathered
    name, entry = "", material.DEFAULTS
    if loaded is not None:
        if not arguments.model and len(loaded.policy.models) > 1:
            known = ", ".join(loaded.policy.models)
            raise errors.RequestRefused(f"the policy has several models ({known}): name one with --model")
        name = arguments.model or next(iter(loaded.policy.models))
        entry = ledger_source.model(loaded, name)
    dataset = labelled_file.read(arguments)
    return (
        loaded,
        name,
        entry,
        material.from_dataset(
            dataset, calibrator, entry=entry, seed=arguments.seed, vouched=arguments.unseen
        ),
    )


def _costs(arguments: argparse.Namespace, entry: "Model") -> "Costs | None":
    from training.cut_offs import request

    if arguments.costs is None:
        return entry.costs
    return None if arguments.costs.strip() == "none" else request.costs(arguments.costs)


def _show(screen: Any, sets: Any, entry: "Model", material: "Material", minutes: float | None) -> None:
    from training.cut_offs import summary

    rows = [
        summary.WorkloadRow(
            name=title,
            cut_offs=cut_offs,
            load=summary.workload(
                cut_offs, entry.bands, material.confidence, material.weights, minutes_per_review=minutes
            ),
        )
        for title, cut_offs in sets
    ]
    screen.print(summary.load_table(rows, entry.bands))
    screen.print("Each cut-off is right under one ratio of costs, meant or not:")
    for title, cut_offs in sets:
        screen.print(f"  {title}:", markup=False)
        for line in summary.ratios(cut_offs, entry.bands):
            screen.print(f"    {line}", markup=False)


def _write(
    arguments: argparse.Namespace,
    loaded: "LoadedPolicy | None",
    name: str,
    proposed: "Proposal",
    delta: Decimal,
    comment: list[str],
    screen: Any,
) -> None:
    from training import errors
    from training.cut_offs import policy_diff

    targets = {each.band: each.target for each in proposed.certificates if each.edge is not None}
    new = {
        band: policy_diff.NewBand(edge=edge, promise=(targets[band], 1 - delta) if band in targets else None)
        for band, edge in proposed.cut_offs.edges
    }
    if loaded is None or arguments.policy is None:
        screen.print("Name the policy file with --policy to get a diff of it.", markup=False)
        return
    text = policy_diff.read(arguments.policy)
    after = policy_diff.rewrite(text, name, new, comment, name=str(arguments.policy))
    written = policy_diff.diff(text, after, name=str(arguments.policy))
    if arguments.out is None:
        sys.stdout.write(written)
        return
    try:
        arguments.out.write_text(written, encoding="utf-8", newline="")
    except OSError as problem:
        raise errors.RequestRefused(
            f"--out {arguments.out}: cannot be written ({problem.strerror})"
        ) from problem
    screen.print(
        f"Wrote {arguments.out}: review it, then `patch {arguments.policy} {arguments.out}`.",
        markup=False,
        soft_wrap=True,
    )
