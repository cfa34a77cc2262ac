"""Reads a policy file: text in, policy and digest out; every mistake named by its key."""

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import yaml

from sidecar import errors
from sidecar.policy.model import Policy

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with the canonical text that its digest stands for."""

    policy: Policy
    canonical: str
    digest: str


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without its one silent loss: a key that stands twice is an error, not the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse(text: str, *, name: str = "policy") -> LoadedPolicy:
    """The policy that a YAML (or JSON) text stands for.

    The digest is over the canonical JSON of the policy with every default filled in, so it changes when the
    meaning does and not when a comment does, and an old policy keeps its meaning under newer defaults.

    Raises:
        errors.PolicyRefused: naming each key that is wrong, and what is wrong with it.
    """
    if len(text.encode()) > MAX_BYTES:
        raise errors.PolicyRefused(f"{name}: larger than 1 MiB")
    try:
        # The loader is a SafeLoader: it builds plain values only.
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise errors.PolicyRefused(f"{name}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise errors.PolicyRefused(f"{name}: must be a mapping with the keys `version` and `models`")
    try:
        policy = Policy.model_validate(content)
    except pydantic.ValidationError as error:
        mistakes = "\n".join(f"  {_key(item['loc'])}: {_sentence(item)}" for item in error.errors())
        raise errors.PolicyRefused(f"{name}:\n{mistakes}") from error
    canonical = json.dumps(
        policy.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":")
    )
    return LoadedPolicy(policy, canonical, "sha256:" + hashlib.sha256(canonical.encode()).hexdigest())


def text_of(path: Path) -> str:
    """The text of a policy file.

    Raises:
        errors.PolicyRefused: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.PolicyRefused(f"{path}: cannot be read: {error}") from error


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
        if not (isinstance(part, str) and part.startswith(("function-", "tuple[")))
    ]
    return ".".join(part for part in parts if part != "bool") or "(the whole file)"


def _sentence(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "no such key; see `python -m sidecar check --schema` for the keys"
    if item["type"] == "missing":
        return "is required"
    message: str = item["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}" if not message[:2].isupper() else message
