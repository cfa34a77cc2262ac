"""A policy's text with other edges, as a diff: comments, order and whatever else stands there stay as they are."""

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePath
from typing import NamedTuple

import yaml

from sidecar import errors as sidecar_errors
from sidecar.policy import loading
from sidecar.policy.model import Band, Policy
from training import errors

MARK = "# training bands: "
"""Begins each comment line that is written above the bands; the next proposal replaces such lines."""

REST_OF_ITEM = re.compile(r"[ \t]*,?[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBand:
    """What a band that stays gets.

    Attributes:
        edge: its lower edge.
        promise: accuracy and confidence; None: as it was.
    """

    edge: Decimal
    promise: tuple[Decimal, Decimal] | None = None


class Edit(NamedTuple):
    """Put `text` in the place of what stands from `start` up to `end`."""

    start: int
    end: int
    text: str


def rewrite(text: str, model: str, new: Mapping[str, NewBand], comment: Sequence[str], *, name: str) -> str:
    """The policy's text with new edges and promises for a model's bands; bands without one are taken out.

    Args:
        text: YAML.
        model: whose bands.
        new: by name of band.
        comment: lines that go above the bands.
        name: of the file, for messages.

    Raises:
        RequestRefused: the text cannot be edited so that only the bands change, or the policy that results
            would be refused.
    """
    before = loading.parse(text, name=name)
    every_line_ends_so = "\r\n" in text and text.count("\r\n") == text.count("\n")
    plain = text.replace("\r\n", "\n") if every_line_ends_so else text
    try:
        rewritten = _edited(plain, model, new, comment, before.policy)
        rewritten = rewritten.replace("\n", "\r\n") if every_line_ends_so else rewritten
        after = loading.parse(rewritten, name=f"{name}, as proposed")
    except sidecar_errors.PolicyRefused as error:
        raise errors.RequestRefused(
            f"the policy that results would be refused; change it by hand first: {error}"
        ) from error
    if after.policy != _expected(before.policy, model, new):
        raise errors.RequestRefused(
            f"{name}: the bands of {model} are written in a way that cannot be edited alone, such as an alias of "
            "another model's: write them out, one `- {name: ..., from: ..., action: ...}` a line"
        )
    return rewritten


def read(path: Path) -> str:
    """The text of a policy file, its ends of line as they are.

    Raises:
        sidecar.errors.PolicyRefused: it cannot be read.
    """
    loading.text_of(path)  # says what is wrong with it
    return path.read_bytes().decode()


def diff(before: str, after: str, *, name: str) -> str:
    """A unified diff that `patch` and `git apply` take; empty where the texts are the same.

    Args:
        before: the text.
        after: the other.
        name: the path of the file, relative to where the diff is to be applied.
    """
    path = PurePath(name)
    shown = path.name if path.is_absolute() else path.as_posix()
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{shown}", f"b/{shown}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    # Not splitlines, which also splits where neither YAML nor patch ends a line.
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _edited(text: str, model: str, new: Mapping[str, NewBand], comment: Sequence[str], policy: Policy) -> str:
    node = _mapping(_value(yaml.compose(text, Loader=yaml.SafeLoader), "models"), model)
    bands = _value(node, "bands")
    if bands is None:
        return _written_out(text, node, new, comment, policy.models[model].bands)
    if not isinstance(bands, yaml.SequenceNode):
        raise errors.RequestRefused(f"the bands of {model} are no list")
    edits: list[Edit] = []
    items = []
    for item in bands.value:
        band = _value(item, "name")
        if not isinstance(item, yaml.MappingNode) or not isinstance(band, yaml.ScalarNode):
            raise errors.RequestRefused(f"the bands of {model} are no list of mappings with a name")
        items.append((item, new.get(band.value)))
        if (change := new.get(band.value)) is not None:
            edits += _changed(text, item, change)
    edits += removals(text, bands, [item for item, change in items if change is None])
    key = next(key for key, value in node.value if value is bands)
    edits += _commented(text, key.start_mark.index, comment)
    return apply(text, edits)


def _changed(text: str, item: yaml.MappingNode, change: NewBand) -> list[Edit]:
    edge = _value(item, "from")
    if not isinstance(edge, yaml.ScalarNode):
        raise errors.RequestRefused("a band's `from` is no number")
    edits = []
    if Decimal(edge.value) != change.edge:
        edits.append(Edit(edge.start_mark.index, edge.end_mark.index, str(change.edge)))
    if change.promise is None:
        return edits
    accuracy, confidence = change.promise
    promise = _value(item, "promise")
    if promise is None:
        return [*edits, addition(text, item, "promise", _promise(accuracy, confidence))]
    if not isinstance(promise, yaml.MappingNode):
        raise errors.RequestRefused("a band's promise is no mapping")
    for key, value in (("accuracy", accuracy), ("confidence", confidence)):
        old = _value(promise, key)
        if old is None:
            edits.append(addition(text, promise, key, str(value)))
        elif Decimal(old.value) != value:
            edits.append(Edit(old.start_mark.index, old.end_mark.index, str(value)))
    return edits


def _written_out(
    text: str,
    node: yaml.MappingNode,
    new: Mapping[str, NewBand],
    comment: Sequence[str],
    bands: Sequence[Band],
) -> str:
    """For a model that names no bands: the default ones, with what changes, as a key of their own."""
    items = []
    for band in bands:
        if (change := new.get(band.name)) is not None:
            parts = [f"name: {band.name}", f"from: {change.edge}", f"action: {band.action}"]
            parts += [] if band.review is None else [f"review: {band.review}"]
            parts += [] if change.promise is None else [f"promise: {_promise(*change.promise)}"]
            items.append("{" + ", ".join(parts) + "}")
    if node.flow_style:
        edits = [addition(text, node, "bands", f"[{', '.join(items)}]")]
        edits += _commented(text, node.start_mark.index, comment)
        return apply(text, edits)
    first = node.value[0][0].start_mark
    indent = " " * first.column
    block = [*(f"{indent}{MARK}{line}\n" for line in comment), f"{indent}bands:\n"]
    block += [f"{indent}  - {item}\n" for item in items]
    at = first.index - first.column
    return apply(text, [Edit(at, at, "".join(block))])


def _commented(text: str, at: int, comment: Sequence[str]) -> list[Edit]:
    """The comment above the line of a place in the text, in the stead of an earlier one."""
    end = start = line_start(text, at)
    line = text[start:]
    indent = line[: len(line) - len(line.lstrip(" "))]
    while start and text[(above := line_start(text, start - 1)) : start].strip().startswith(MARK.strip()):
        start = above
    return [Edit(start, end, "".join(f"{indent}{MARK}{each}\n" for each in comment))]


def _promise(accuracy: Decimal, confidence: Decimal) -> str:
    return f"{{accuracy: {accuracy}, confidence: {confidence}}}"


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if getattr(name, "value", None) == key), None)


def _mapping(node: yaml.Node | None, key: str) -> yaml.MappingNode:
    found = _value(node, key)
    if not isinstance(found, yaml.MappingNode):
        raise errors.RequestRefused(f"the policy has no model {key!r}")
    return found


def _expected(policy: Policy, model: str, new: Mapping[str, NewBand]) -> Policy:
    content = policy.model_dump(mode="json", by_alias=True)
    entry = content["models"][model]
    bands = []
    for band in entry["bands"]:
        if (change := new.get(band["name"])) is None:
            continue
        band["from"] = float(change.edge)
        if change.promise is not None:
            accuracy, confidence = change.promise
            band["promise"] = (band["promise"] or {}) | {
                "accuracy": float(accuracy),
                "confidence": float(confidence),
            }
        bands.append(band)
    entry["bands"] = bands
    return loading.parse(json.dumps(content)).policy


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made, which do not overlap; of two at one place an insertion comes first."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def line_start(text: str, at: int) -> int:
    """Where the line of a position begins."""
    return text.rfind("\n", 0, at) + 1


def addition(text: str, node: yaml.MappingNode, key: str, value: str) -> Edit:
    """A key more for a mapping that has one already, with a value in flow style."""
    last_key, last = node.value[-1]
    end = _end(last)
    if node.flow_style:
        return Edit(end, end, f", {key}: {value}")
    line = f"{' ' * last_key.start_mark.column}{key}: {value}"
    end = text.find("\n", end)
    return Edit(len(text), len(text), f"\n{line}") if end < 0 else Edit(end + 1, end + 1, f"{line}\n")


def removals(text: str, sequence: yaml.SequenceNode, gone: Collection[yaml.Node]) -> list[Edit]:
    """Takes items out of a list, of which at least one stays; an item with lines of its own with its lines."""
    items = sequence.value
    edits: list[Edit] = []
    for place, item in enumerate(items):
        if item not in gone:
            continue
        start, end = item.start_mark.index, _end(item)
        if not sequence.flow_style:
            start = text.rindex("-", 0, start)
        first, rest = line_start(text, start), REST_OF_ITEM.match(text, end)
        if rest is not None and not text[first:start].strip():
            edits.append(Edit(first, rest.end(), ""))
        elif any(other not in gone for other in items[:place]):
            edits.append(Edit(_end(items[place - 1]), end, ""))
        else:
            edits.append(Edit(start, items[place + 1].start_mark.index, ""))
    return edits


def _end(node: yaml.Node) -> int:
    # A block collection's own mark lies behind the comments that follow it.
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    end: int = node.end_mark.index
    return end
