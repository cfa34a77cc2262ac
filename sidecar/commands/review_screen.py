"""What the terminal reviewer sees, and how it is asked."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TextIO

from trueband.v1 import decision_pb2, review_pb2

WIDTH = 100


def printable(text: str) -> str:
    """The text without what could steer a terminal: it comes from whoever called the sidecar."""
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)


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
        for paragraph in printable(text).splitlines() or [""]:
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
