"""Reads back the records that the ledger's tables keep as text."""

from typing import TypeVar

import msgspec

from sidecar import errors
from sidecar.decision.records import Decision, Label

T = TypeVar("T")

_decisions: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
_labels: msgspec.json.Decoder[Label] = msgspec.json.Decoder(Label)


def decision(body: str) -> Decision:
    """The decision in a row of `answers`.

    Raises:
        errors.LedgerUnavailable: it is none, or a newer version wrote it.
    """
    return _decoded(_decisions, body)


def label(body: str) -> Label:
    """The label in a row of `labels`.

    Raises:
        errors.LedgerUnavailable: it is none, or a newer version wrote it.
    """
    return _decoded(_labels, body)


def _decoded(decoder: msgspec.json.Decoder[T], body: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise errors.LedgerUnavailable(
            f"a record in the ledger cannot be read by this version: run the one that wrote it ({error})"
        ) from error
