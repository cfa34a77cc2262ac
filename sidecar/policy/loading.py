"""Reads a policy file: text in, policy and digest out; every mistake named by its key.

The floors file is read by the same `checked`.
"""

import hashlib
import json
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from sidecar import errors
from sidecar.policy.fields import Strict
from sidecar.policy.model import Policy

MAX_BYTES = 1 << 20
MOST_NODES = 10_000
"""How many keys and values a file may have, with its aliases written out; a long text counts as several."""

LONG_TEXT = 256

MISREAD = {
    "tag:yaml.org,2002:bool": "a truth value",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}
"""What YAML may take a plain word or number for, by its tag. Every name in these files is text."""

_BRIEF = reprlib.Repr()
File = TypeVar("File", bound=Strict)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with the canonical text that its digest stands for."""

    policy: Policy
    canonical: str
    digest: str


class _TooLarge(yaml.YAMLError):
    """There is more in the text than any policy says."""


class _Misread(yaml.YAMLError):
    """A name that YAML takes for something else."""


class _Loader(yaml.SafeLoader):
    """YAML without its silent losses: a key that stands twice is an error, and 1e-3 is a number.

    Nothing is built of a text that says too much once its aliases are written out: a few lines can stand for
    more than any memory holds.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._count = 0
        self._counts: dict[int, int] = {}
        """By the identity of a node: how many there are in it, itself included."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        before, repeats = self._count, self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if repeats:
            if id(node) not in self._counts:
                raise _TooLarge("an alias stands within what it names")
            self._count += self._counts[id(node)]
        else:
            self._count += 1 + (len(node.value) // LONG_TEXT if isinstance(node, yaml.ScalarNode) else 0)
            self._counts[id(node)] = self._count - before
        if self._count > MOST_NODES:
            raise _TooLarge(f"more than {MOST_NODES:,} keys and values, with all aliases written out")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                kind = MISREAD.get(key.tag)
                if kind is not None:
                    raise _Misread(
                        f"line {key.start_mark.line + 1}: the name {key.value} is read as {kind}; put it in quotes: "
                        f'"{key.value}"'
                    )
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def _time(loader: _Loader, node: yaml.ScalarNode) -> object:
    """A date or a time; what only looks like one stays text, so that its key can be named."""
    try:
        value: object = loader.construct_yaml_timestamp(node)
    except ValueError:
        return node.value
    return value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _time)

# YAML 1.1, which the library reads, wants a point in every number with an exponent; YAML 1.2 does not.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse(text: str, *, name: str = "policy") -> LoadedPolicy:
    """The policy that a YAML (or JSON) text stands for.

    The digest is over the canonical JSON of the policy with every default filled in, so it changes when the
    meaning does and not when a comment does, and an old policy keeps its meaning under newer defaults.

    Raises:
        errors.PolicyRefused: naming each key that is wrong, and what is wrong with it.
    """
    policy, canonical = checked(
        text, Policy, name=name, keys="`version` and `models`", schema="trueband-sidecar check --schema"
    )
    return LoadedPolicy(policy, canonical, digest_of(canonical))


def stored(text: str, digest: str) -> LoadedPolicy:
    """The policy in a text that was kept under its digest.

    The digest is that of the text as it was kept, and not of the policy as it is read now: a newer version fills in
    more defaults, and the decisions that name the digest stay as they are.

    Raises:
        errors.PolicyRefused: the text is not the one that the digest stands for, or cannot be read.
    """
    found = digest_of(text)
    if found != digest:
        raise errors.PolicyRefused(f"the stored policy has digest {found}, and is kept as {digest}")
    return LoadedPolicy(parse(text, name=digest).policy, text, digest)


def checked(text: str, kind: type[File], *, name: str, keys: str, schema: str) -> tuple[File, str]:
    """A file's value, and the canonical JSON of it with every default filled in.

    Args:
        text: YAML, or JSON.
        kind: what it must be.
        name: of the file.
        keys: that it must have, for the message where it is no mapping.
        schema: the command that prints all of them.

    Raises:
        errors.PolicyRefused: naming each key that is wrong, and what is wrong with it.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise errors.PolicyRefused(f"{name}: larger than 1 MiB")
    content = _content(text, name)
    if not isinstance(content, dict):
        raise errors.PolicyRefused(f"{name}: must be a mapping with the keys {keys}")
    try:
        value = kind.model_validate(content)
    except pydantic.ValidationError as error:
        mistakes = "\n".join(f"  {_key(item['loc'])}: {_sentence(item, schema)}" for item in error.errors())
        raise errors.PolicyRefused(f"{name}:\n{mistakes}") from error
    content = value.model_dump(mode="json", by_alias=True)
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise errors.PolicyRefused(f"{name}: a text holds half a character (a lone surrogate)") from error
    return value, json.dumps(content, sort_keys=True, separators=(",", ":"))


def digest_of(canonical: str) -> str:
    """The digest of a canonical text."""
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _content(text: str, name: str) -> object:
    if text.startswith("{"):
        # JSON, as the canonical text is; YAML would misread its escapes of characters beyond the first plane.
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, name))
        except (ValueError, RecursionError):
            pass  # a YAML mapping may begin so too
    return plain(text, name)


def plain(text: str, name: str) -> object:
    """The plain values that a YAML text stands for.

    Raises:
        errors.PolicyRefused: it is none, or says too much; the message may hold a part of it.
    """
    try:
        # The loader is a SafeLoader: it builds plain values only.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except (_TooLarge, _Misread) as error:
        raise errors.PolicyRefused(f"{name}: {error}") from error
    except yaml.YAMLError as error:
        raise errors.PolicyRefused(f"{name}: not YAML: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # What the library lets escape: a date such as 2024-13-45, a tag that does not fit its value.
        raise errors.PolicyRefused(f"{name}: not YAML: a value cannot be read: {error}") from error


def _unique(pairs: list[tuple[str, object]], name: str) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise errors.PolicyRefused(f"{name}: the key {twice!r} stands twice")
    return content


def text_of(path: Path) -> str:
    """The text of a policy file.

    Raises:
        errors.PolicyRefused: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.PolicyRefused(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.PolicyRefused(f"{path}: is not UTF-8 text: {error}") from error


def read(path: Path) -> LoadedPolicy:
    """The policy in a file.

    Raises:
        errors.PolicyRefused: the file cannot be read, or has mistakes.
    """
    return parse(text_of(path), name=str(path))


def _key(location: tuple[int | str, ...]) -> str:
    """The key as a person would write it; the parts that pydantic adds for unions are left out."""
    parts = [
        str(part)
        for part in location
        if not (isinstance(part, str) and part.startswith(("function-", "tuple[", "[key]")))
    ]
    return ".".join(part for part in parts if part != "bool") or "(the whole file)"


def _sentence(item: Any, schema: str) -> str:
    if item["type"] == "extra_forbidden":
        return f"no such key; see `{schema}` for the keys"
    if item["type"] == "missing":
        return "is required"
    if item["type"] == "tuple_type":
        return "must be a list"
    if item["type"] in ("dict_type", "model_type"):
        return "must be a mapping of keys to values; {} where there is nothing to say"
    if item["type"] == "string_type":
        return f"must be text, and is read as {_BRIEF.repr(item['input'])}; put it in quotes"
    message: str = item["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}" if not message[:2].isupper() else message
