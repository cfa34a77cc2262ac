"""`status`: what a running sidecar has in force."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf import duration_pb2, json_format
from trueband.v1 import admin_pb2, admin_pb2_grpc

from sidecar import client, shell, times
from sidecar.commands import suspend


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "status", help="say what a running sidecar has in force, how stale, and what failed"
    )
    client.add_arguments(parser)
    parser.add_argument("--reload", action="store_true", help="ask policy and registry at once, first")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the status; exit code 1 where health is not SERVING."""
    with client.connection(arguments) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        if arguments.reload:
            admin.ReloadNow(admin_pb2.ReloadNowRequest(), timeout=2 * client.DEADLINE_SECONDS)
        status = admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=client.DEADLINE_SECONDS)
        suspended = admin.ListSuspensions(
            admin_pb2.ListSuspensionsRequest(), timeout=client.DEADLINE_SECONDS
        ).suspensions
    if arguments.json:
        told = json_format.MessageToDict(status, preserving_proto_field_name=True)
        told["suspensions"] = [
            json_format.MessageToDict(each, preserving_proto_field_name=True) for each in suspended
        ]
        print(json.dumps(told, indent=2))
    else:
        shell.show([*_lines(status), *(line for each in suspended for line in suspend.lines(each))])
    return 0 if status.serving else 1


def _lines(status: admin_pb2.GetStatusResponse) -> Iterator[str]:
    state = "SERVING" if status.serving else "NOT SERVING"
    yield f"{state} since {times.utc(status.started_at.seconds)}, engine {status.engine_version}"
    yield f"sidecar     {status.sidecar_id}"
    yield f"policy      {status.policy_digest} since {times.utc(status.policy_in_force_since.seconds)}"
    if status.floors_digest:
        yield f"floors      {status.floors_digest}"
    if status.policy_last_error:
        yield f"            REFUSED CHANGE: {status.policy_last_error}"
    for slot in status.calibrators:
        name = slot.model + (f" {slot.model_version}" if slot.model_version else "")
        without = "every answer is held"
        if slot.source not in ("", "primary"):
            name += f" {slot.source}"
            without = "this fallback step clears nothing"
        if slot.HasField("calibrator"):
            version = f" version {slot.calibrator.version}" if slot.calibrator.version else ""
            state = (
                "STALE" if slot.stale else "from cache, not yet confirmed" if slot.from_cache else "in force"
            )
            yield (
                f"calibrator  {name}: {slot.calibrator.kind}, {slot.calibrator.name}{version}, {state}, "
                f"confirmed {_about(slot.calibrator.stale_age)} ago"
            )
            yield f"            {slot.calibrator.digest}"
        else:
            yield f"calibrator  {name}: NONE from {slot.uri}; {without}"
        if slot.last_error:
            yield f"            [{slot.last_error_code}] {slot.last_error}"
    yield from _challengers(status)
    journal = status.journal
    yield (
        f"journal     {journal.backlog_records} records not yet in the ledger (oldest {_about(journal.backlog_age)}), "
        f"{journal.size_bytes / 2**20:.1f} of {journal.max_size_bytes / 2**20:.0f} MiB"
    )
    if journal.corrupt_bytes:
        yield (
            f"            DAMAGED: {journal.corrupt_bytes} bytes among acknowledged records; they are kept beside "
            "the journal as *.corrupt, and the log says which"
        )
    if journal.append_error:
        yield f"            TAKES NOTHING, so answers are UNCERTAIN: {journal.append_error}"
    if journal.missing_records:
        yield f"            MISSING: {journal.missing_records} records that were numbered and are not there any more"
    if journal.refused_records:
        yield (
            f"            REFUSED: {journal.refused_records} records that the ledger could not take; "
            "it keeps them aside, and the log says why"
        )
    if journal.cut_bytes:
        yield f"            {journal.cut_bytes} bytes of a write that never ended were cut off; nothing acknowledged"
    if journal.last_error:
        yield f"            LEDGER: {journal.last_error}"
    yield from _brake(status)
    yield f"mandatory decisions without a person: {status.mandatory_without_human_total}"


def _brake(status: admin_pb2.GetStatusResponse) -> Iterator[str]:
    brake = status.brake
    if not brake.known:
        yield "suspensions NOT KNOWN, so nothing acts (SUSPENSIONS_UNKNOWN) until the ledger has answered"
    if brake.last_error:
        heard = (
            f"last heard {times.utc(brake.confirmed_at.seconds)}"
            if brake.HasField("confirmed_at")
            else "never heard"
        )
        yield f"suspensions of other sidecars: {heard}; {brake.last_error}"


def _challengers(status: admin_pb2.GetStatusResponse) -> Iterator[str]:
    champions = {
        (each.model, each.model_version): each.calibrator.digest
        for each in status.calibrators
        if each.source in ("", "primary")
    }
    for slot in status.challengers:
        name = slot.model + (f" {slot.model_version}" if slot.model_version else "")
        if slot.HasField("calibrator"):
            same = champions.get((slot.model, slot.model_version)) == slot.calibrator.digest
            state = "the same as the champion" if same else "evaluated beside the champion; decides nothing"
            yield (
                f"challenger  {name}: {slot.calibrator.kind}, {slot.calibrator.name} version "
                f"{slot.calibrator.version}, {state}"
            )
            yield f"            {slot.calibrator.digest}"
        if slot.last_error:
            yield f"challenger  {name}: [{slot.last_error_code}] {slot.last_error}"


def _about(length: duration_pb2.Duration) -> str:
    return times.about(length.ToMilliseconds() / 1000)
