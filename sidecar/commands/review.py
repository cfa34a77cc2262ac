"""`review`: a small terminal client of the review queue: what it shows, and how it asks."""

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import grpc
from trueband.v1 import decision_pb2, review_pb2, review_pb2_grpc

from sidecar import client
from sidecar.shell import printable

KINDS = ("HOLD", "BATCH", "AUDIT", "ESCALATION", "ADJUDICATION")
BLOCKING = (review_pb2.TASK_KIND_HOLD, review_pb2.TASK_KIND_ESCALATION)
WIDTH = 100
RETRYABLE = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)
"""After these the task is still the reviewer's, to be ended otherwise."""


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "review",
        help="judge what waits for a person, one task after the other",
        description="Takes the most urgent task, shows it, and asks for the verdict by one key, and for a held answer "
        "for the disposition: what may be done. Ends when nothing is left, or with q.",
    )
    client.add_arguments(parser)
    parser.add_argument(
        "--kind", action="append", choices=KINDS, default=[], help="only this kind; may stand twice"
    )
    parser.add_argument("--model", action="append", default=[], help="only this model's; may stand twice")
    parser.add_argument(
        "--category", action="append", default=[], help="only this category's; may stand twice"
    )
    parser.add_argument(
        "--skill", action="append", default=[], help="what you are trained for; may stand twice"
    )
    parser.add_argument("--explain", action="store_true", help="ask for a line of words after each verdict")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reviews until nothing is left, or the reviewer stops."""
    wanted = review_pb2.LeaseTasksRequest(
        kinds=[f"TASK_KIND_{kind}" for kind in arguments.kind],
        models=arguments.model,
        categories=arguments.category,
        skills=arguments.skill,
        count=1,
    )
    with client.connection(arguments) as channel:
        desk = Desk(review_pb2_grpc.ReviewServiceStub(channel), Prompt(), explain=arguments.explain)
        while desk.next(wanted):
            pass
    print(f"{desk.completed} completed")
    return 0


class Prompt:
    """Asks for one key, or for a line. A pipe gives a line for each, of which the first letter is the key."""

    def __init__(self, source: TextIO | None = None) -> None:
        self._source = sys.stdin if source is None else source

    def key(self, keys: Mapping[str, str]) -> str | None:
        """One of the keys, each with what it does; None at the end of the input."""
        print("  ".join(f"[{key}] {meaning}" for key, meaning in keys.items()), end=" > ", flush=True)
        while True:
            pressed = self._pressed()
            if pressed is None:
                print()
                return None
            if pressed in keys:
                print(pressed)
                return pressed
            print(f"\n{pressed!r} is none of {', '.join(keys)}", end=" > ", flush=True)

    def line(self, question: str) -> str | None:
        """A line, without white space around it; None at the end of the input."""
        print(question, end=" > ", flush=True)
        text = self._source.readline()
        return text.strip() if text else None

    def _pressed(self) -> str | None:
        if not self._source.isatty():
            text = self._source.readline()
            return (text.strip()[:1].lower() or " ") if text else None
        import termios
        import tty

        descriptor = self._source.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setcbreak(descriptor)
            # Only the first: what was typed on in haste was not meant for the next question.
            pressed = os.read(descriptor, 64).decode(errors="replace")[:1]
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        return None if pressed in ("", "\x04") else pressed.lower()


class Desk:
    """One reviewer at work."""

    def __init__(self, stub: Any, prompt: Prompt, *, explain: bool) -> None:
        self.completed = 0
        self._stub = stub
        self._prompt = prompt
        self._explain = explain

    def next(self, wanted: review_pb2.LeaseTasksRequest) -> bool:
        """Takes and ends one task; whether to go on."""
        tasks = self._call("LeaseTasks", wanted).tasks
        if not tasks:
            print("nothing waits for you")
            return False
        task = tasks[0]
        print("\n".join(lines(task, now=time.time())))
        going_on: bool | None = None
        try:
            while going_on is None:
                going_on = self._judge(task)
        except (KeyboardInterrupt, grpc.RpcError):
            self._give_back(task)
            raise
        if not going_on:
            self._give_back(task)
        return going_on

    def _judge(self, task: review_pb2.Task) -> bool | None:
        """True once the task is dealt with, False to stop, None to ask again."""
        keys = {"t": "cannot tell", "d": "decline", "q": "quit"}
        verdicts = {"a": "answer"} if task.blind else {"c": "correct", "i": "incorrect"}
        pressed = self._prompt.key(verdicts | keys)
        if pressed in (None, "q"):
            return False
        if pressed == "d":
            return self._decline(task)
        request = review_pb2.CompleteTaskRequest(task_id=task.task_id, fence=task.lease.fence)
        if pressed in ("a", "i"):
            true_class = self._prompt.line(
                "which class is right" + ("" if task.blind else " (empty: unknown)")
            )
            if true_class is None:
                return False
            if task.blind and not true_class:
                return None
            request.true_class = true_class
        request.verdict = {
            "a": review_pb2.VERDICT_UNSPECIFIED,
            "c": review_pb2.VERDICT_CORRECT,
            "i": review_pb2.VERDICT_INCORRECT,
            "t": review_pb2.VERDICT_CANNOT_TELL,
        }[pressed]
        if (task.origin_kind or task.kind) in BLOCKING:
            disposition = self._disposition(task, request)
            if disposition is None:
                return False
            if disposition == review_pb2.DISPOSITION_UNSPECIFIED:
                return None
            request.disposition = disposition
        if self._explain:
            words = self._prompt.line("why")
            if words is None:
                return False
            request.explanation = words
        return self._complete(request)

    def _disposition(
        self, task: review_pb2.Task, request: review_pb2.CompleteTaskRequest
    ) -> "review_pb2.Disposition | None":
        """What may be done; UNSPECIFIED to begin again, None to stop."""
        keys: dict[str, str] = {}
        if request.verdict != review_pb2.VERDICT_INCORRECT and not task.blind:
            keys["r"] = "release the answer"
        if request.true_class:
            keys["k"] = f"release {printable(request.true_class)}"
        pressed = self._prompt.key(keys | {"x": "refuse", "b": "back"})
        return {
            "r": review_pb2.DISPOSITION_RELEASE,
            "k": review_pb2.DISPOSITION_RELEASE_CORRECTED,
            "x": review_pb2.DISPOSITION_REFUSE,
            "b": review_pb2.DISPOSITION_UNSPECIFIED,
            None: None,
        }[pressed]

    def _complete(self, request: review_pb2.CompleteTaskRequest) -> bool | None:
        try:
            response = self._call("CompleteTask", request)
        except grpc.RpcError as error:
            if error.code() not in RETRYABLE:
                raise
            print(f"not taken: {printable(error.details() or '')}")
            return None
        if response.stale:
            print("too late: somebody else has the task by now; your verdict is kept, and does not count")
            return True
        self.completed += 1
        state = review_pb2.TaskState.Name(response.task.state).removeprefix("TASK_STATE_")
        print(f"taken: the task is {state}")
        return True

    def _decline(self, task: review_pb2.Task) -> bool:
        words = self._prompt.line("why not you") or ""
        self._call(
            "DeclineTask",
            review_pb2.DeclineTaskRequest(task_id=task.task_id, fence=task.lease.fence, explanation=words),
        )
        return True

    def _give_back(self, task: review_pb2.Task) -> None:
        request = review_pb2.ReleaseTaskRequest(task_id=task.task_id, fence=task.lease.fence)
        try:
            self._call("ReleaseTask", request)
        except grpc.RpcError as error:
            # The lease ends by itself; there is nothing that a person who leaves could do.
            print(f"not given back: {printable(error.details() or '')}")

    def _call(self, method: str, request: Any) -> Any:
        return getattr(self._stub, method)(request, timeout=client.DEADLINE_SECONDS)


def lines(task: review_pb2.Task, *, now: float) -> Iterator[str]:
    """The task, for reading."""
    kind = review_pb2.TaskKind.Name(task.kind).removeprefix("TASK_KIND_")
    if task.origin_kind:
        kind += f" of {review_pb2.TaskKind.Name(task.origin_kind).removeprefix('TASK_KIND_')}"
    mandatory = ", needs a person" if task.mandatory else ""
    yield "-" * WIDTH
    yield f"{kind}{mandatory}, {_due(task.due_at.seconds - now)}    task {task.task_id}"
    asked = {
        "model": f"{task.model} {task.model_version}".strip(),
        "category": task.category,
        "tenant": task.tenant,
        "subject": task.subject_ref,
    }
    yield "  ".join(f"{name} {printable(value)}" for name, value in asked.items() if value)
    reasons = (decision_pb2.Reason.Name(reason).removeprefix("REASON_") for reason in task.reasons)
    yield f"because  {', '.join(reasons)}"
    for step in task.steps:
        outcome = decision_pb2.StepOutcome.Name(step.outcome).removeprefix("STEP_OUTCOME_")
        said = f" {printable(step.answer_class)}" if step.answer_class else ""
        yield f"tried    {printable(step.step)}{said}: {outcome} {printable(step.code)}".rstrip()
    for name, text in sorted(task.context.items()):
        yield ""
        yield f"{printable(name)}:"
        for paragraph in printable(text, lines=True).split("\n"):
            yield from textwrap.wrap(
                paragraph, WIDTH - 4, initial_indent="    ", subsequent_indent="    "
            ) or [""]
    yield ""
    if task.blind:
        yield "answer   hidden: say yourself what is right"
        return
    confidence = (
        f"   {task.calibrated_confidence:.1%} confident" if task.HasField("calibrated_confidence") else ""
    )
    if task.HasField("lower_confidence"):
        confidence += f", at least {task.lower_confidence:.1%} by the labels so far"
    yield f"answer   {printable(task.predicted_class) or '(no class)'}{confidence}"
    for each in task.candidates:
        yield f"           {printable(each.answer_class)}  raw {each.raw_confidence:.3f}"


def _due(seconds: float) -> str:
    late = seconds < 0
    hours, minutes = divmod(int(abs(seconds)) // 60, 60)
    length = f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours} h {minutes} min"
    return f"OVERDUE by {length}" if late else f"due in {length}"
