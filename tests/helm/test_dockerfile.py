"""The Dockerfile, as far as it can be checked without an engine that builds it."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

BUILT = ("/wheels", "/opt/trueband")


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[tuple[str, str]]:
    """Keyword and arguments of each instruction, continued lines joined, comments gone."""
    lines = [
        line for line in (root / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (keyword.upper(), arguments.strip())
        for keyword, _, arguments in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


@pytest.fixture(scope="module")
def stages(instructions: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name and in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for keyword, arguments in instructions:
        if keyword == "FROM":
            name = arguments.split()[-1]
            found[name] = []
        if name:
            found[name].append((keyword, arguments))
    return found


def lineage(stages: dict[str, list[tuple[str, str]]], name: str) -> list[tuple[str, str]]:
    """The instructions of a stage and of all that it is built upon."""
    parent = stages[name][0][1].split()[0]
    return (lineage(stages, parent) if parent in stages else []) + stages[name]


def sent(root: Path, path: Path) -> bool:
    """Whether .dockerignore lets a path through: the last pattern that fits it or a folder above decides."""
    relative = path.relative_to(root)
    verdict = True
    for line in (root / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").rstrip("/")
        candidates = [str(relative), *(str(folder) for folder in relative.parents if str(folder) != ".")]
        if pattern.startswith("**/"):
            matches = any(fnmatch.fnmatchcase(part, pattern[3:]) for part in relative.parts)
        else:
            # Docker's * stops at a slash; a pattern therefore has as many parts as what it matches.
            matches = any(
                candidate.count("/") == pattern.count("/") and fnmatch.fnmatchcase(candidate, pattern)
                for candidate in candidates
            )
        if matches:
            verdict = line.startswith("!")
    return verdict


def copied(instructions: list[tuple[str, str]]) -> set[str]:
    """The paths that are copied from the build context."""
    return {
        source.rstrip("/")
        for keyword, arguments in instructions
        if keyword == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    }


def test_every_copied_path_exists_and_is_sent(root: Path, instructions: list[tuple[str, str]]) -> None:
    sources = copied(instructions)
    assert {"pyproject.toml", "constraints.txt", "calibrators", "sidecar", "training", "proto/gen"} <= sources
    for source in sources:
        path = root / source
        assert path.exists(), source
        files = [path] if path.is_file() else list(path.rglob("*.py"))
        assert files
        assert all(sent(root, file) for file in files if "__pycache__" not in file.parts), source


def test_nothing_else_is_sent(root: Path, instructions: list[tuple[str, str]]) -> None:
    sources = copied(instructions)
    for entry in root.iterdir():
        if not any(source.split("/")[0] == entry.name for source in sources):
            assert not sent(root, entry), entry.name
    assert not sent(root, root / "proto" / "trueband" / "v1" / "routing.proto")
    assert not sent(root, root / "sidecar" / "__pycache__" / "router.cpython-311.pyc")
    assert not sent(root, root / ".venv" / "sidecar" / "router.py")


def test_what_the_wheel_needs_is_copied(root: Path, instructions: list[tuple[str, str]]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    needed = [
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    ]
    sources = copied(instructions)
    for path in needed:
        assert any(path == source or path.startswith(f"{source}/") for source in sources), path


def test_stages_build_upon_stages_that_are_there(stages: dict[str, list[tuple[str, str]]]) -> None:
    before: set[str] = set()
    for name, content in stages.items():
        base = content[0][1].split()[0]
        assert base in before or base == "${PYTHON_IMAGE}", name
        for keyword, arguments in content:
            if keyword == "COPY" and "--from=" in arguments:
                assert re.search(r"--from=(\S+)", arguments).group(1) in before  # type: ignore[union-attr]
                assert arguments.split()[1].rstrip("/") in BUILT
        before.add(name)


def test_the_service_is_what_is_built_unless_asked_otherwise(
    stages: dict[str, list[tuple[str, str]]],
) -> None:
    assert list(stages)[-1] == "sidecar"
    assert ("ENTRYPOINT", '["python", "-m", "sidecar"]') in stages["sidecar"]
    assert ("CMD", '["serve"]') in stages["sidecar"]
    assert ("ENTRYPOINT", '["python", "-m", "training"]') in stages["training"]


@pytest.mark.parametrize("name", ["sidecar", "training"])
def test_final_images_run_as_nobody_and_bring_no_build_tools(
    stages: dict[str, list[tuple[str, str]]], name: str
) -> None:
    everything = lineage(stages, name)
    assert [arguments for keyword, arguments in everything if keyword == "USER"] == ["65532:65532"]
    assert [a for k, a in everything if k == "COPY"] == [
        f"--from={name}-environment /opt/trueband /opt/trueband"
    ]
    assert not any("pip" in arguments for keyword, arguments in everything if keyword == "RUN")


def test_the_service_brings_its_own_dependencies_only(stages: dict[str, list[tuple[str, str]]]) -> None:
    service = " ".join(arguments for _, arguments in lineage(stages, "sidecar-environment"))
    assert "--requirement sidecar.txt" in service
    assert "--requirement training.txt" not in service
    assert "torch" not in service
    loop = " ".join(arguments for _, arguments in lineage(stages, "training-environment"))
    assert "--requirement sidecar.txt" in loop
    assert "--requirement training.txt" in loop


def test_every_install_is_constrained(instructions: list[tuple[str, str]]) -> None:
    installs = [
        command
        for keyword, arguments in instructions
        if keyword == "RUN"
        for command in re.split(r"&&|;", arguments)
        if re.search(r"\bpip\b.*\b(install|wheel)\b", command)
    ]
    assert len(installs) >= 6
    for command in installs:
        ours = "--no-index /wheels/" in command
        pinned = "grep '^torch==' constraints.txt" in command
        assert ours or pinned or "--constraint constraints.txt" in command, command


def test_the_chart_mounts_what_the_image_prepares(root: Path, instructions: list[tuple[str, str]]) -> None:
    template = (root / "helm" / "trueband" / "templates" / "_sidecar.tpl").read_text()
    prepared = " ".join(arguments for keyword, arguments in instructions if keyword == "RUN")
    for folder in ("/var/lib/trueband", "/run/trueband"):
        assert f"mountPath: {folder}\n" in template
        assert folder in prepared
