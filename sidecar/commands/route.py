"""`route`: asks a running sidecar about one answer."""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from google.protobuf import json_format, timestamp_pb2
from trueband.v1 import decision_pb2, evidence_pb2, routing_pb2, routing_pb2_grpc

from sidecar import client, errors, shell, times
from sidecar.shell import printable

CATEGORY_SOURCES = {
    "caller": routing_pb2.CATEGORY_SOURCE_CALLER,
    "model": routing_pb2.CATEGORY_SOURCE_MODEL,
}
INTENTS = {"live": decision_pb2.INTENT_LIVE, "shadow": decision_pb2.INTENT_SHADOW}
FINISHES = {
    name.removeprefix("FINISH_REASON_").lower(): name for name in evidence_pb2.FinishReason.keys()[1:]
}

T = TypeVar("T")


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "route",
        help="ask a running sidecar about one answer",
        description="Asks a running sidecar about one answer, with all that a service can tell it, and says what may "
        "happen to the answer and why. It is a real decision: it is recorded, and can open a task.",
    )
    client.add_arguments(parser)
    parser.add_argument("--model", required=True, metavar="M", help="a key of the policy's models")
    parser.add_argument("--model-version", default="", metavar="V", help="version of the primary model")
    parser.add_argument(
        "--predicted-class", default="", metavar="CLASS", help="the answer that the model gives"
    )
    parser.add_argument("--category", default="", help="the business category")
    parser.add_argument(
        "--category-source", choices=tuple(CATEGORY_SOURCES), help="who says so (default: caller)"
    )
    parser.add_argument("--tenant", default="", help="whose request it is")
    parser.add_argument("--request-id", default="", metavar="ID", help="makes a retry the same decision")
    parser.add_argument(
        "--subject-ref", default="", metavar="KEY", help="your own key, to find the decision again"
    )
    parser.add_argument(
        "--group-key", default="", metavar="KEY", help="the same for answers that depend on each other"
    )
    parser.add_argument("--answer-digest", default="", metavar="DIGEST", help="of a generated text")
    parser.add_argument(
        "--occurred-at", type=times.when, metavar="WHEN", help="when it happened: a time, or so long ago"
    )
    parser.add_argument(
        "--attribute",
        type=_attribute,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='a fact for rules and secondary models: a number, true, false, else text ("7" in quotes is text); may '
        "stand often",
    )
    parser.add_argument(
        "--context",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="what a reviewer sees and detectors read; may stand often",
    )
    parser.add_argument(
        "--intent", choices=tuple(INTENTS), default="live", help="shadow: decide and record, never act"
    )
    parser.add_argument("--json", action="store_true", help="print the whole answer as one JSON object")
    _add_evidence(parser)
    parser.set_defaults(run=run)


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the model says about its answer (one of these)")
    evidence = group.add_mutually_exclusive_group(required=True)
    evidence.add_argument("--score", type=float, metavar="X", help="confidence in the answer, in [0, 1]")
    evidence.add_argument(
        "--positive-probability", type=float, metavar="X", help="of the positive class, in [0, 1]"
    )
    evidence.add_argument(
        "--probabilities", type=_numbers, metavar="X,X,...", help="in the order of the policy's classes"
    )
    evidence.add_argument("--logits", type=_numbers, metavar="X,X,...", help="in that order")
    evidence.add_argument(
        "--token-logprobs", type=_numbers, metavar="X,X,...", help="natural logarithms, in token order"
    )
    more = parser.add_argument_group("what goes with it")
    more.add_argument(
        "--positive-class",
        metavar="CLASS",
        help="of --positive-probability (default: the last of the policy's)",
    )
    more.add_argument("--answer-start", type=int, metavar="N", help="first token of the answer (default: 0)")
    more.add_argument("--answer-end", type=int, metavar="N", help="one past its last token (default: all)")
    more.add_argument("--finish-reason", choices=tuple(FINISHES), help="why the generation ended")


def run(arguments: argparse.Namespace) -> int:
    """Prints the decision."""
    request = routing_pb2.RouteRequest(
        tenant=arguments.tenant,
        model=arguments.model,
        model_version=arguments.model_version,
        request_id=arguments.request_id,
        subject_ref=arguments.subject_ref,
        group_key=arguments.group_key,
        category=arguments.category,
        category_source=CATEGORY_SOURCES.get(arguments.category_source or ""),
        predicted_class=arguments.predicted_class,
        answer_digest=arguments.answer_digest,
        occurred_at=_moment(arguments),
        evidence=_evidence(arguments),
        attributes=_once("--attribute", arguments.attribute),
        context=_once("--context", arguments.context),
        intent=INTENTS[arguments.intent],
    )
    with client.connection(arguments) as channel:
        answer = routing_pb2_grpc.RoutingServiceStub(channel).Route(request, timeout=client.DEADLINE_SECONDS)
    if arguments.json:
        # may_act first and always: false, the one answer that must not be overlooked, is what JSON leaves out.
        told = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        print(json.dumps({"may_act": answer.may_act, **told}, indent=2))
    else:
        shell.show(lines(answer.decision))
    return 0


def lines(decision: decision_pb2.Decision) -> Iterator[str]:
    """A decision for a person: what may happen, and why."""
    action = decision_pb2.Action.Name(decision.action).removeprefix("ACTION_")
    yield f"{'MAY ACT' if decision.may_act else 'MAY NOT ACT'}: {action}" + (
        f" on {printable(' '.join(decision.final_class.split()))}" if decision.final_class else ""
    )
    reasons = (decision_pb2.Reason.Name(each).removeprefix("REASON_") for each in decision.reasons)
    yield f"because     {', '.join(reasons)}"
    said = [f"raw {decision.raw_confidence:.6f}"] if decision.HasField("raw_confidence") else []
    if decision.HasField("calibrated_confidence"):
        said.append(f"calibrated {decision.calibrated_confidence:.6f}")
    if decision.HasField("lower_confidence"):
        said.append(f"lower bound {decision.lower_confidence:.6f}")
    said.append(f"band {decision.band or 'none'}")
    yield f"confidence  {', '.join(said)}"
    for floor in decision.floors:
        permitted = (decision_pb2.Action.Name(each).removeprefix("ACTION_") for each in floor.permitted)
        yield f"floor       {floor.floor} permits only {', '.join(permitted)}"
    for step in decision.steps:
        outcome = decision_pb2.StepOutcome.Name(step.outcome).removeprefix("STEP_OUTCOME_")
        yield f"tried       {step.step}: {outcome} {step.code}".rstrip()
    replayed = ", the answer to an earlier request of this id" if decision.replayed else ""
    yield f"decision    {decision.decision_id}{replayed}"


def _moment(arguments: argparse.Namespace) -> timestamp_pb2.Timestamp | None:
    if arguments.occurred_at is None:
        return None
    moment = timestamp_pb2.Timestamp()
    moment.FromMicroseconds(round(arguments.occurred_at.seen_from(time.time()) * 1e6))
    return moment


def _evidence(arguments: argparse.Namespace) -> evidence_pb2.Evidence:
    """The evidence that the flags give.

    Raises:
        SettingsRefused: a flag goes with evidence of another kind.
    """
    _require(
        "--positive-probability", arguments.positive_probability, positive_class=arguments.positive_class
    )
    _require(
        "--token-logprobs",
        arguments.token_logprobs,
        answer_start=arguments.answer_start,
        answer_end=arguments.answer_end,
        finish_reason=arguments.finish_reason,
    )
    if arguments.score is not None:
        return evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=arguments.score))
    if arguments.positive_probability is not None:
        probability = evidence_pb2.PositiveProbability(
            probability=arguments.positive_probability, positive_class=arguments.positive_class or ""
        )
        return evidence_pb2.Evidence(positive_probability=probability)
    if arguments.probabilities is not None:
        return evidence_pb2.Evidence(probabilities=evidence_pb2.Probabilities(values=arguments.probabilities))
    if arguments.logits is not None:
        return evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=arguments.logits))
    tokens = evidence_pb2.TokenLogProbabilities(
        values=arguments.token_logprobs,
        answer_start=arguments.answer_start,
        answer_end=arguments.answer_end,
        finish_reason=FINISHES.get(arguments.finish_reason or ""),
    )
    return evidence_pb2.Evidence(token_log_probabilities=tokens)


def _require(kind: str, given: object, **others: object) -> None:
    stray = next((name for name, value in others.items() if value is not None), None)
    if given is None and stray is not None:
        raise errors.SettingsRefused(f"--{stray.replace('_', '-')} goes with {kind}, which is not given")


def _once(flag: str, pairs: Sequence[tuple[str, T]]) -> dict[str, T]:
    """Pairs by name.

    Raises:
        SettingsRefused: two have one name.
    """
    by_name = dict(pairs)
    if len(by_name) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.SettingsRefused(f"{flag} {twice} stands twice")
    return by_name


def _attribute(text: str) -> tuple[str, routing_pb2.Attribute]:
    """A name and its value: what JSON reads as a number, true, false or a text is that, and all else is text."""
    name, value = _pair(text)
    try:
        read = json.loads(value)
    except ValueError:
        read = value
    if isinstance(read, bool):
        return name, routing_pb2.Attribute(flag=read)
    if isinstance(read, int | float) and math.isfinite(read):
        return name, routing_pb2.Attribute(number=read)
    return name, routing_pb2.Attribute(text=read if isinstance(read, str) else value)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, such as 0.1,0.9") from error
