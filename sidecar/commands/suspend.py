"""`suspend` and `resume`: the brake. What it covers waits for a person, until one lifts it."""

import argparse
from typing import Any

from trueband.v1 import admin_pb2, admin_pb2_grpc, decision_pb2

from sidecar import client, errors, shell, times

SOURCES = {
    "primary": decision_pb2.ANSWER_SOURCE_PRIMARY,
    "rules": decision_pb2.ANSWER_SOURCE_RULES,
    "secondary": decision_pb2.ANSWER_SOURCE_SECONDARY,
}
SCOPE = ("tenant", "model", "model_version", "band", "category", "source")


def add_parser(subparsers: Any) -> None:
    """Declares both commands."""
    _add_suspend(subparsers)
    _add_resume(subparsers)


def _add_suspend(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "suspend",
        help="let nothing in a model, band, category, tenant or so act without a person",
        description="Suspends what all the given flags cover: at once on this sidecar, within seconds on "
        "every other one over the same ledger, and until a person lifts it with `resume`.",
    )
    client.add_arguments(parser)
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why; whoever lifts it will read this"
    )
    parser.add_argument(
        "--by", default="", metavar="NAME", help="who suspends; with a principals file, whoever calls"
    )
    parser.add_argument("--tenant", help="'' is the default tenant")
    parser.add_argument("--model", help="a key of the policy's models")
    parser.add_argument("--model-version", metavar="VERSION", help="of the primary model")
    parser.add_argument("--band", help="the name of a band")
    parser.add_argument("--category", help="a business category")
    parser.add_argument("--source", choices=tuple(SOURCES), help="who gives the answer")
    parser.add_argument("--everything", action="store_true", help="all of it, in the place of a scope")
    parser.set_defaults(run=_suspend)


def _suspend(arguments: argparse.Namespace) -> int:
    """Prints the suspension."""
    request = admin_pb2.SuspendRequest(
        scope=_scope(arguments), explanation=arguments.reason, suspended_by=arguments.by
    )
    with client.connection(arguments) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        suspension = stub.Suspend(request, timeout=client.DEADLINE_SECONDS).suspension
    shell.show(lines(suspension))
    print(f"lift it with: trueband-sidecar resume {suspension.suspension_id} --reason TEXT --by NAME")
    return 0


def _add_resume(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "resume",
        help="lift a suspension",
        description="Lifts one suspension, and no other: what another one covers too stays suspended.",
    )
    client.add_arguments(parser)
    parser.add_argument("suspension_id", metavar="ID", help="as `suspend` printed it, and `status` shows it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it may be lifted")
    parser.add_argument(
        "--by", default="", metavar="NAME", help="the person who lifts it; with a principals file, who calls"
    )
    parser.set_defaults(run=_resume)


def _resume(arguments: argparse.Namespace) -> int:
    """Prints what was lifted."""
    request = admin_pb2.ResumeRequest(
        suspension_id=arguments.suspension_id, explanation=arguments.reason, resumed_by=arguments.by
    )
    with client.connection(arguments) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        lifted = stub.Resume(request, timeout=client.DEADLINE_SECONDS).suspension
    why = " ".join(lifted.explanation.split())
    shell.show([f"resumed {lifted.suspension_id}, which {lifted.suspended_by} had suspended: {why}"])
    return 0


def _scope(arguments: argparse.Namespace) -> admin_pb2.SuspensionScope:
    given = {name: getattr(arguments, name) for name in SCOPE if getattr(arguments, name) is not None}
    empty = [name for name, value in given.items() if not value and name != "tenant"]
    if empty:
        raise errors.SettingsRefused(
            f"--{empty[0].replace('_', '-')} is empty: leave it out where all are meant"
        )
    if arguments.everything and given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise errors.SettingsRefused(f"--everything leaves nothing to {flags}: give one or the other")
    if not arguments.everything and not given:
        raise errors.SettingsRefused("say what to suspend, such as --model or --band, or give --everything")
    source = given.pop("source", None)
    scope = admin_pb2.SuspensionScope(**given)
    if source is not None:
        scope.source = SOURCES[source]
    return scope


def lines(suspension: admin_pb2.Suspension) -> list[str]:
    """A suspension for a person to read."""
    scope = suspension.scope
    covered = [f"tenant {scope.tenant!r}"] if scope.HasField("tenant") else []
    for name in ("model", "model_version", "band", "category"):
        value = getattr(scope, name)
        if value:
            covered.append(f"{name.replace('_', ' ')} {value}")
    if scope.source:
        source = decision_pb2.AnswerSource.Name(scope.source).removeprefix("ANSWER_SOURCE_")
        covered.append(f"source {source.lower()}")
    since = times.utc(suspension.suspended_at.seconds)
    return [
        f"SUSPENDED   {', '.join(covered) or 'EVERYTHING'} since {since} by {suspension.suspended_by}",
        f"            {suspension.suspension_id}: {' '.join(suspension.explanation.split())}",
    ]
