"""The house, as far as it can be counted: names, walls, and the paths that its documents give."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("sidecar", "calibrators", "training")
MOST_LINES = 450
MOST_MODULES = 22
MOST_CHARACTERS = 400
TOP_LEVEL = frozenset(path.name for path in ROOT.iterdir())
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_module_is_longer_than_one_idea() -> None:
    long = [
        named(path) for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    ]
    assert long == []


def test_no_folder_is_a_warehouse() -> None:
    modules = Counter(path.parent for path in MODULES)
    assert [named(folder) for folder, count in modules.items() if count > MOST_MODULES] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_every_room_says_what_it_is(folder: Path) -> None:
    door = folder / "__init__.py"
    if named(folder).endswith("migrations/versions"):
        assert not door.exists()  # alembic's scripts, no package
    else:
        assert ast.get_docstring(ast.parse(door.read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_paths_that_a_document_gives_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    paths = {
        path
        for quoted in re.findall(r"`([^`\n]+)`", text)
        for path in quoted.split("::")[:1]
        if path.split("/")[0] in TOP_LEVEL and " " not in path
    }
    assert len(paths) > 3
    assert [path for path in sorted(paths) if not any(ROOT.glob(path))] == []


def test_the_tests_that_the_failure_table_names_are_there() -> None:
    """`tests/FILE.py::test_name`, or `::test_name` for one in the file that was named last."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    file = ""
    missing = []
    for path, name in re.findall(r"`(tests/[^`:]+)?::(\w+)`", text):
        file = path or file
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")
    assert missing == []


def test_the_three_ways_name_modules_that_exist() -> None:
    """The last part of each path in the pictures is a module or a folder of a room."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    pictures = re.findall(r"```\n(.*?)```", text.partition("## Three ways")[2], flags=re.DOTALL)
    paths = set(re.findall(r"[a-z_]+/[a-z_/]+[a-z]", "\n".join(pictures)))
    known = [named(path.with_suffix("")) for path in [*MODULES, *FOLDERS]]
    assert len(paths) > 20
    assert [
        path for path in sorted(paths) if not any(f"/{name}".endswith(f"/{path}") for name in known)
    ] == []


def test_no_line_of_the_configuration_hides_a_list() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > MOST_CHARACTERS] == []
