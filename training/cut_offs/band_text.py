"""Edits of YAML text by position, in block and in flow style."""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

import yaml

REST_OF_ITEM = re.compile(r"[ \t]*,?[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class Edit(NamedTuple):
    """Put `text` in the place of what stands from `start` up to `end`."""

    start: int
    end: int
    text: str


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
    found: list[Edit] = []
    for place, item in enumerate(items):
        if item not in gone:
            continue
        start, end = item.start_mark.index, _end(item)
        if not sequence.flow_style:
            start = text.rindex("-", 0, start)
        first, rest = line_start(text, start), REST_OF_ITEM.match(text, end)
        if rest is not None and not text[first:start].strip():
            found.append(Edit(first, rest.end(), ""))
        elif any(other not in gone for other in items[:place]):
            found.append(Edit(_end(items[place - 1]), end, ""))
        else:
            found.append(Edit(start, items[place + 1].start_mark.index, ""))
    return found


def _end(node: yaml.Node) -> int:
    # A block collection's own mark lies behind the comments that follow it.
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    end: int = node.end_mark.index
    return end
