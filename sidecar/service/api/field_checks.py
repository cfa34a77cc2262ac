"""Checks of single fields: each names what is wrong by the field's path, and goes on."""

import math
from collections.abc import Mapping

from google.protobuf import timestamp_pb2
from trueband.v1 import routing_pb2

from sidecar.errors import Violation

MAX_TEXT = 256
MAX_NOTE = 16_384
MAX_ENTRIES = 64
MAX_CONTEXT = 65_536
LATEST_SECONDS = 253_402_214_400  # the last day of the year 9999, where Timestamp ends


def bounded(field: str, value: str, bad: list[Violation], *, most: int = MAX_TEXT) -> None:
    """Notes a text that is too long in UTF-8, or holds a NUL, which databases refuse."""
    size = _bytes(value)
    if size > most:
        bad.append(Violation(field, f"has {size:,} bytes; at most {most:,}"))
    if "\0" in value:
        bad.append(Violation(field, "holds a NUL character"))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def seconds(field: str, value: timestamp_pb2.Timestamp, bad: list[Violation]) -> float | None:
    """Seconds since the epoch; None, and a note, where it is no time."""
    if not (0 <= value.seconds < LATEST_SECONDS and 0 <= value.nanos < 1_000_000_000):
        bad.append(Violation(field, "is not a time between 1970 and 9999"))
        return None
    return value.seconds + value.nanos / 1e9


def attributes(
    given: Mapping[str, routing_pb2.Attribute], bad: list[Violation]
) -> dict[str, str | float | bool]:
    """The attributes with their values; a note for each that is not as the contract says."""
    if len(given) > MAX_ENTRIES:
        bad.append(Violation("attributes", f"has {len(given)} entries; at most {MAX_ENTRIES}"))
        return {}
    checked: dict[str, str | float | bool] = {}
    for name, attribute in given.items():
        field = f"attributes[{name[:64]}]"
        kind = attribute.WhichOneof("value")
        if not name or _bytes(name) > MAX_TEXT:
            bad.append(Violation("attributes", f"a name has {_bytes(name):,} bytes; 1 to {MAX_TEXT}"))
        elif kind is None:
            bad.append(Violation(field, "has no value: text, number or flag"))
        elif kind == "number" and not math.isfinite(attribute.number):
            bad.append(Violation(field, "is not a finite number"))
        elif kind == "text" and _bytes(attribute.text) > MAX_NOTE:
            bad.append(Violation(field, f"has {_bytes(attribute.text):,} bytes; at most {MAX_NOTE:,}"))
        else:
            checked[name] = getattr(attribute, kind)
    return checked


def context(given: Mapping[str, str], bad: list[Violation]) -> dict[str, str]:
    """The context; empty, and a note, where it is too large."""
    size = sum(_bytes(name) + _bytes(text) for name, text in given.items())
    if len(given) > MAX_ENTRIES or size > MAX_CONTEXT:
        bad.append(
            Violation(
                "context",
                f"has {len(given)} entries of {size:,} bytes; "
                f"at most {MAX_ENTRIES} of {MAX_CONTEXT:,} together",
            )
        )
        return {}
    return dict(given)
