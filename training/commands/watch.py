"""`watch`: one look at the audit labels, with alarms that stay true however often one looks."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import client, shell, times
from training import errors
from training.commands import ledger_source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sidecar.ledger.store import Ledger
    from sidecar.policy.loading import LoadedPolicy
    from training.watch.consequences import Consequences
    from training.watch.model_look import Look

DONE, UNDONE, ALARM = 0, 1, 3


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "watch",
        help="look at the audit labels: is what was promised kept, do confidences mean what they say",
        description="Feeds the audit labels that are new to the detectors of each band, remembers what they come to in "
        "the ledger, and prints it. May run as often as you like: that makes no alarm more likely. Suspends a band "
        "whose policy says `on_breach: hold`, and starts the retrain that the policy asks for. Exit code 0; 3 on an "
        "alarm with --fail-on-alarm; 1 where a suspension, a retrain or an export failed, which the next watch tries "
        "again; 2 where the request was refused.",
    )
    parser.add_argument(
        "--model", metavar="M", help="only this key of the policy's models (default: all of them)"
    )
    ledger_source.add_arguments(parser)
    parser.add_argument(
        "--as-of", type=times.when, metavar="WHEN", help="leave later labels for later (default: now)"
    )
    parser.add_argument(
        "--shift-window",
        type=times.length,
        default=7 * times.DAY_SECONDS,
        metavar="AGO",
        help="how far back the scores go that are compared with those of the fit (default: 7d)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="write metrics for the textfile collector"
    )
    parser.add_argument("--mlflow", action="store_true", help="log metrics to the experiment trueband-watch")
    parser.add_argument("--fail-on-alarm", action="store_true", help="exit with 3 on an alarm")
    parser.add_argument(
        "--no-retrain", action="store_true", help="start no retrain, whatever the policy says"
    )
    parser.add_argument("--dry-run", action="store_true", help="print only: remember, suspend, fit nothing")
    parser.add_argument(
        "--acknowledge",
        metavar="STREAM",
        help="take note of the alarms of a stream; its detectors begin anew. Nothing else is done",
    )
    parser.add_argument("--by", default="", metavar="WHO", help="with --acknowledge: who takes note")
    parser.add_argument("--reason", default="", metavar="TEXT", help="with --acknowledge: what was found")
    client.add_arguments(parser, address="")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks once."""
    if arguments.acknowledge is None and (arguments.by or arguments.reason):
        raise errors.RequestRefused("--by and --reason go with --acknowledge")
    now = time.time()
    at = now if arguments.as_of is None else arguments.as_of.seen_from(now)
    with shell.snapshot(arguments) as ledger, ledger_source.original(arguments) as original:
        loaded = _policy(ledger, arguments)
        if loaded is None:
            told = "the ledger has no decision yet: there is nothing to watch"
            print(json.dumps({"models": {}, "done": [told], "undone": []}) if arguments.json else told)
            return DONE
        if arguments.model is not None:
            ledger_source.model(loaded, arguments.model)
        models = [arguments.model] if arguments.model is not None else list(loaded.policy.models)
        if arguments.acknowledge is not None:
            return _acknowledge(original, models, arguments, at=at)
        _require_a_way_to_hold(loaded, models, arguments)
        return _watch(ledger, original, loaded, models, arguments, at=at)


def _watch(
    ledger: "Ledger",
    view: "Ledger",
    loaded: "LoadedPolicy",
    models: "Iterable[str]",
    arguments: argparse.Namespace,
    *,
    at: float,
) -> int:
    from training.watch import consequences, model_look

    act = not arguments.dry_run
    looks, followed = [], consequences.Consequences()
    for model in models:
        look = model_look.take(
            ledger, view, model, loaded, at=at, window_seconds=arguments.shift_window, write=act
        )
        if act:
            token = client.token_of(arguments.token_file)
            followed += consequences.suspend(view, look, loaded, address=arguments.address, token=token)
            if not arguments.no_retrain:
                followed += consequences.retrain(ledger, view, look, loaded)
            look = model_look.reread(view, look)
        looks.append(look)
    if act:
        followed += consequences.export(
            looks, to_mlflow=arguments.mlflow, to_file=arguments.prometheus, undone=len(followed.undone)
        )
    _print(looks, followed, as_json=arguments.json)
    if followed.undone:
        return UNDONE
    return ALARM if arguments.fail_on_alarm and any(look.alarmed for look in looks) else DONE


def _print(looks: "list[Look]", followed: "Consequences", *, as_json: bool) -> None:
    if as_json:
        from training.watch import measurements

        models = {look.model: measurements.document(look) for look in looks}
        document = {"models": models, "done": followed.done, "undone": followed.undone}
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        from training import console
        from training.watch import sentences

        screen = console.console()
        for look in looks:
            if look.states:
                screen.print(sentences.table(look))
            for sentence in sentences.of(look):
                screen.print(shell.printable(sentence), markup=False)
        for sentence in followed.done:
            screen.print(shell.printable(sentence), markup=False)
    for sentence in followed.undone:
        print(shell.printable(f"not done: {sentence}"), file=sys.stderr)


def _acknowledge(view: "Ledger", models: "Iterable[str]", arguments: argparse.Namespace, *, at: float) -> int:
    """Takes note of the alarms of one stream."""
    from sidecar.ledger import watch_states
    from training.watch import store

    by, reason = arguments.by.strip(), arguments.reason.strip()
    if not by or not reason:
        raise errors.RequestRefused(
            "--acknowledge needs --by WHO and --reason TEXT: say who took note, of what"
        )
    if arguments.dry_run:
        raise errors.RequestRefused("--acknowledge and --dry-run: give one or the other")
    known = {
        state.stream.id: (model, state)
        for model in models
        for state in store.states(view.read(watch_states.states, model)).values()
    }
    found = [name for name in known if name.startswith(arguments.acknowledge.lower())]
    if len(found) != 1:
        alarmed = [name for name, (_, state) in known.items() if any(each.is_open for each in state.alarms)]
        count = "no stream" if not found else f"{len(found)} streams"
        raise errors.RequestRefused(
            f"{count} whose id begins with {arguments.acknowledge!r}; with an open alarm: "
            f"{', '.join(alarmed) or 'none'}"
        )
    model, state = known[found[0]]
    store.amend(view, model, found[0], lambda kept: kept.acknowledged(by=by, reason=reason, at=at), at=at)
    shell.show([f"{by} took note of the alarms of {found[0]} ({state.stream}); its detectors begin anew"])
    shell.show(_suspensions(view, {alarm.suspension_id for alarm in state.alarms if alarm.suspension_id}))
    return DONE


def _suspensions(view: "Ledger", set_by_alarms: "Collection[str]") -> "Iterator[str]":
    """What became of the suspensions that alarms set, a line each."""
    from sidecar.decision.suspensions import Resumption, Suspension
    from sidecar.ledger import governance

    known = {each.suspension_id: each for each in view.read(governance.suspensions, set_by_alarms)}
    for name in sorted(set_by_alarms):
        event = known.get(name)
        if isinstance(event, Resumption):
            yield f"suspension {name} is no more: {event.resumed_by} lifted it at {times.utc(event.resumed_at)}"
        elif isinstance(event, Suspension):
            yield (
                f"suspension {name} stays until a person lifts it: trueband-sidecar resume {name} --reason TEXT --by "
                "NAME"
            )
        else:
            yield f"suspension {name} is not in the ledger (yet): `trueband-sidecar status` says whether it stands"


def _policy(ledger: "Ledger", arguments: argparse.Namespace) -> "LoadedPolicy | None":
    """The policy in force; None where nothing was decided yet."""
    from sidecar.ledger import queries
    from training.data import policies

    given = ledger_source.policy(arguments)
    if given is not None:
        return given
    for name in dict.fromkeys((arguments.model or "", "")):
        if ledger.read(queries.decisions, model=name, page_size=1).items:
            return policies.newest(ledger, name)
    return None


def _require_a_way_to_hold(
    loaded: "LoadedPolicy", models: "Iterable[str]", arguments: argparse.Namespace
) -> None:
    """Refuses to look where an alarm could not do what the policy says.

    Raises:
        RequestRefused: a band says `on_breach: hold`, and there is no sidecar to tell.
    """
    from training.watch import consequences

    holds = [model for model in models if consequences.any_band_holds(loaded.policy.models[model])]
    if holds and not arguments.address and not arguments.dry_run:
        raise errors.RequestRefused(
            f"the policy of {', '.join(holds)} says on_breach: hold, so that an alarm must reach a sidecar: give "
            "--address (or TRUEBAND_ADDRESS), or --dry-run to look only"
        )
