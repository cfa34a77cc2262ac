"""`route`: asks a running sidecar about one answer."""

import argparse
import json
from typing import Any

from google.protobuf import json_format
from trueband.v1 import decision_pb2, evidence_pb2, routing_pb2, routing_pb2_grpc

from sidecar import client


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser("route", help="ask a running sidecar about one answer")
    client.add_arguments(parser)
    parser.add_argument("--model", required=True, help="a key of the policy's models")
    parser.add_argument("--model-version", default="", help="version of the primary model")
    parser.add_argument(
        "--predicted-class", default="", metavar="CLASS", help="the answer that the model gives"
    )
    parser.add_argument("--category", default="", help="the business category")
    parser.add_argument("--tenant", default="")
    parser.add_argument("--request-id", default="", help="makes a retry the same decision")
    parser.add_argument("--subject-ref", default="", help="your own key, to find the decision again")
    parser.add_argument("--shadow", action="store_true", help="decide and record, never act")
    evidence = parser.add_mutually_exclusive_group(required=True)
    evidence.add_argument("--score", type=float, metavar="X", help="confidence in the answer, in [0, 1]")
    evidence.add_argument("--positive-probability", type=float, metavar="X")
    evidence.add_argument("--probabilities", type=_numbers, metavar="X,X,...")
    evidence.add_argument("--logits", type=_numbers, metavar="X,X,...")
    evidence.add_argument("--token-logprobs", type=_numbers, metavar="X,X,...")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the decision as JSON."""
    request = routing_pb2.RouteRequest(
        tenant=arguments.tenant,
        model=arguments.model,
        model_version=arguments.model_version,
        request_id=arguments.request_id,
        subject_ref=arguments.subject_ref,
        category=arguments.category,
        predicted_class=arguments.predicted_class,
        intent=decision_pb2.INTENT_SHADOW if arguments.shadow else decision_pb2.INTENT_LIVE,
        evidence=_evidence(arguments),
    )
    with client.connection(arguments) as channel:
        answer = routing_pb2_grpc.RoutingServiceStub(channel).Route(request, timeout=client.DEADLINE_SECONDS)
    # may_act first and always: false, the one answer that must not be overlooked, is what JSON leaves out.
    shown = {"may_act": answer.may_act, **json_format.MessageToDict(answer, preserving_proto_field_name=True)}
    print(json.dumps(shown, indent=2))
    return 0


def _evidence(arguments: argparse.Namespace) -> evidence_pb2.Evidence:
    if arguments.score is not None:
        return evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=arguments.score))
    if arguments.positive_probability is not None:
        probability = evidence_pb2.PositiveProbability(probability=arguments.positive_probability)
        return evidence_pb2.Evidence(positive_probability=probability)
    if arguments.probabilities is not None:
        return evidence_pb2.Evidence(probabilities=evidence_pb2.Probabilities(values=arguments.probabilities))
    if arguments.logits is not None:
        return evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=arguments.logits))
    tokens = evidence_pb2.TokenLogProbabilities(values=arguments.token_logprobs)
    return evidence_pb2.Evidence(token_log_probabilities=tokens)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, such as 0.1,0.9") from error
