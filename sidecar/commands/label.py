"""`label`: tells a running sidecar what turned out to be true."""

import argparse
import sys
import uuid
from typing import Any

import grpc
from trueband.v1 import (
    decision_pb2,
    decision_pb2_grpc,
    label_pb2,
    label_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
)

from sidecar import client


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser("label", help="tell a running sidecar what turned out to be true")
    client.add_arguments(parser)
    parser.add_argument("decision_id", metavar="DECISION_ID", help="as Route answered it")
    value = parser.add_mutually_exclusive_group(required=True)
    value.add_argument("--correct", action="store_true", help="the answer was correct")
    value.add_argument("--incorrect", action="store_true", help="the answer was incorrect")
    value.add_argument("--true-class", metavar="CLASS", help="the class that was right")
    value.add_argument("--cannot-tell", action="store_true")
    parser.add_argument(
        "--source", default="command-line", help="the system that says so (default %(default)s)"
    )
    parser.add_argument("--event-id", help="unique within the source (default: a fresh one)")
    parser.add_argument(
        "--task-id", default="", help="the task that asked; only then does the label count as drawn"
    )
    parser.add_argument("--note", default="")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints what became of the label; exit code 1 if it was rejected."""
    label = label_pb2.Label(
        decision_id=arguments.decision_id,
        source=arguments.source,
        event_id=arguments.event_id or uuid.uuid4().hex,
        task_id=arguments.task_id,
        channel=label_pb2.LABEL_CHANNEL_REVIEW_TASK
        if arguments.task_id
        else label_pb2.LABEL_CHANNEL_VOLUNTEERED,
        note=arguments.note,
    )
    if arguments.true_class is not None:
        label.true_class = arguments.true_class
    elif arguments.cannot_tell:
        label.cannot_tell.SetInParent()
    else:
        label.correct = arguments.correct
    with client.connection(arguments) as channel:
        request = label_pb2.RecordLabelRequest(label=label)
        response = label_pb2_grpc.LabelServiceStub(channel).RecordLabel(
            request, timeout=client.DEADLINE_SECONDS
        )
        accepted = response.status == label_pb2.LABEL_STATUS_ACCEPTED
        decision_unseen = accepted and _unseen(channel, label.decision_id)
        worth = _worth(label, channel) if accepted else ""
    name = label_pb2.LabelStatus.Name(response.status).removeprefix("LABEL_STATUS_")
    print(
        f"{name}{': ' + response.reason if response.reason else ''} (source {label.source}, event {label.event_id})"
    )
    if worth:
        print(worth)
    if decision_unseen:
        others = (
            "If somebody else asked for it, or it was made a moment ago, all is well (`trueband-sidecar explain` "
            "reads the ledger itself)"
            if client.token_of(arguments.token_file)
            else "If it was made a moment ago, the label finds it"
        )
        print(
            f"warning: the sidecar shows you no decision {label.decision_id!r}. {others}; if the id is mistyped, the "
            "label counts for nothing",
            file=sys.stderr,
        )
    return 0 if response.status != label_pb2.LABEL_STATUS_REJECTED else 1


def _worth(label: label_pb2.Label, channel: grpc.Channel) -> str:
    """What an accepted label is going to count for."""
    if label.HasField("cannot_tell"):
        return "it counts as no answer"
    if not label.task_id:
        return "it counts in fits alone: nobody planned it, so that it enters no estimate of accuracy"
    request = review_pb2.GetTaskRequest(task_id=label.task_id)
    try:
        stub = review_pb2_grpc.ReviewServiceStub(channel)
        task = stub.GetTask(request, timeout=client.DEADLINE_SECONDS).task
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.NOT_FOUND:
            return ""
        return (
            f"there is no task {label.task_id!r} (yet): unless it turns out to be one of this decision's, the label "
            "counts in fits alone, and in no estimate of accuracy"
        )
    if task.decision_id != label.decision_id:
        return (
            f"task {label.task_id!r} is of another decision: the label counts in fits alone, and in no estimate of "
            "accuracy"
        )
    return "it answers its task, and counts with the probability with which that was planned"


def _unseen(channel: grpc.Channel, decision_id: str) -> bool:
    """Whether the sidecar answered that it has no such decision, or none for this caller; False: it did not say."""
    request = decision_pb2.GetDecisionRequest(decision_id=decision_id)
    try:
        decision_pb2_grpc.DecisionServiceStub(channel).GetDecision(request, timeout=client.DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND
    return False
