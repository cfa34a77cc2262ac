"""`resume`: lifts one suspension."""

import argparse
from typing import Any

from trueband.v1 import admin_pb2, admin_pb2_grpc

from sidecar import client
from sidecar.commands.route import add_address


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "resume",
        help="lift a suspension",
        description="Lifts one suspension, and no other: what another one covers too stays suspended.",
    )
    add_address(parser)
    parser.add_argument("suspension_id", metavar="ID", help="as `suspend` printed it, and `status` shows it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it may be lifted")
    parser.add_argument(
        "--by", default="", metavar="NAME", help="the person who lifts it; with a principals file, who calls"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints what was lifted."""
    request = admin_pb2.ResumeRequest(
        suspension_id=arguments.suspension_id, explanation=arguments.reason, resumed_by=arguments.by
    )
    with client.connect(arguments.address, token=client.token_of(arguments.token_file)) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        lifted = stub.Resume(request, timeout=client.DEADLINE_SECONDS).suspension
    why = " ".join(lifted.explanation.split())
    print(f"resumed {lifted.suspension_id}, which {lifted.suspended_by} had suspended: {why}")
    return 0
