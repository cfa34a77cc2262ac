"""The patterns in a condition, read from the engine's own syntax tree, so that each is checked at load."""

from collections.abc import Iterator

# Field numbers of the checked expression: checked.proto and syntax.proto of github.com/google/cel-spec.
ANY_VALUE, CHECKED_EXPR = 2, 4
CONSTANT, CALL, CALL_TARGET, CALL_FUNCTION, CALL_ARGUMENT, CONSTANT_STRING = 3, 6, 1, 2, 3, 6
CHILDREN = {5: (1,), 7: (1,), 8: (2,)}
"""Where a field selection, a list and a map hold their parts; a map's entry has its key at 3, its value at
4."""


def find(serialized: bytes) -> Iterator[str | None]:
    """The literal pattern of every call of `matches`; None for one that is no literal."""
    checked = _last(serialized, ANY_VALUE)
    yield from _walk(_last(checked, CHECKED_EXPR))


def _walk(expression: bytes) -> Iterator[str | None]:
    for number, part in _fields(expression):
        if number == CALL:
            arguments = [item for field, item in _fields(part) if field in (CALL_TARGET, CALL_ARGUMENT)]
            if _last(part, CALL_FUNCTION) == b"matches":
                yield _literal(arguments[-1])
            for argument in arguments:
                yield from _walk(argument)
        elif number in CHILDREN:
            for field, item in _fields(part):
                if field in CHILDREN[number]:
                    yield from _walk(item)
                    if number == 8:
                        for entry_field, entry_item in _fields(item):
                            if entry_field in (3, 4):
                                yield from _walk(entry_item)


def _literal(expression: bytes) -> str | None:
    constant = _last(expression, CONSTANT)
    texts = [part for number, part in _fields(constant) if number == CONSTANT_STRING]
    return texts[-1].decode() if texts else None


def _last(message: bytes, wanted: int) -> bytes:
    found = [part for number, part in _fields(message) if number == wanted]
    return found[-1] if found else b""


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protocol buffer message; others are skipped."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            _, position = _varint(message, position)
        elif wire_type == 2:
            length, position = _varint(message, position)
            yield key >> 3, message[position : position + length]
            position += length
        else:
            position += 8 if wire_type == 1 else 4


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
