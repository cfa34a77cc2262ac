"""Pages: a long list in pieces that stay put while rows are added."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from typing import Generic, NoReturn, TypeVar

import msgspec

from sidecar import errors

T = TypeVar("T")

DEFAULT_SIZE = 100
LARGEST_SIZE = 1000

MOST_BYTES = 3 << 20
"""What one answer may take on the wire. A gRPC client that sets nothing refuses more than 4 MiB."""

MOST_READ = 16 << 20
"""How long the bodies that are read for one page may be together; evidence is not always told."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items, and where to go on.

    Attributes:
        items: in the order of the whole list.
        next_page_token: for the next page; empty on the last one.
        total: how many match altogether, where that was counted.
        tokens: behind each item, for who cannot use all of them.
    """

    items: tuple[T, ...]
    next_page_token: str = ""
    total: int | None = None
    tokens: tuple[str, ...] = ()

    def token_behind(self, count: int) -> str:
        """The token for what comes behind the first `count` items, at least one; empty where nothing does."""
        return self.next_page_token if count >= len(self.items) else self.tokens[count - 1]


class _Token(msgspec.Struct, frozen=True, array_like=True):
    question: str
    keys: list[str | float | bool]


def size(asked: int) -> int:
    """How many rows a page of the asked size has; 0 asks for the default.

    Raises:
        errors.InvalidRequest: it is out of range.
    """
    if not 0 <= asked <= LARGEST_SIZE:
        _refuse("page_size", f"must be between 0 and {LARGEST_SIZE}, and is {asked}")
    return asked or DEFAULT_SIZE


def token(question: object, keys: list[str | float | bool]) -> str:
    """A token that says which row was the last one, by its sort keys, in the answer to which question."""
    data = msgspec.json.encode(_Token(_digest(question), keys))
    return base64.urlsafe_b64encode(data).decode()


def keys(question: object, token_: str, *types: type, field: str = "page_token") -> list[str | float | bool]:
    """The sort keys in a token; `field` is where the request has it.

    Raises:
        errors.InvalidRequest: the token is damaged, or belongs to another question.
    """
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(token_.encode()), type=_Token)
    except (ValueError, msgspec.DecodeError):
        _refuse(field, "is not one that this service gave; start again without it")
    if decoded.question != _digest(question):
        _refuse(field, "belongs to other filters; keep them, or start again without it")
    if [type(key) for key in decoded.keys] != list(types):
        _refuse(field, "is not one that this service gave; start again without it")
    return decoded.keys


def within(items: Iterable[T], size_of: Callable[[T], int], most: int = MOST_BYTES) -> list[T]:
    """The first items whose sizes come to `most` at most; the very first one whatever its size.

    What comes behind them is not asked for, so an iterator need not make it.
    """
    fitting: list[T] = []
    total = 0
    for item in items:
        total += size_of(item)
        if fitting and total > most:
            break
        fitting.append(item)
    return fitting


def _digest(question: object) -> str:
    return hashlib.blake2b(repr(question).encode(), digest_size=6).hexdigest()


def _refuse(field: str, description: str) -> NoReturn:
    raise errors.InvalidRequest((errors.Violation(field, description),))
