"""Generates the contract's Python: `python -m tests.proto write`, or `check` that what is checked in is fresh."""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "proto"
TARGET = SOURCE / "gen" / "python"
PLUGIN = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
WRITTEN_BY_HAND = frozenset({"__init__.py", "py.typed"})


def generate(target: Path) -> None:
    """Writes the generated modules and their stubs below a folder."""
    wellknown = Path(protoc.__file__).parent / "_proto"
    protos = sorted(
        str(path.relative_to(SOURCE)) for path in SOURCE.glob("*/**/*.proto") if "gen" not in path.parts
    )
    code = protoc.main(
        [
            "protoc",
            f"-I{SOURCE}",
            f"-I{wellknown}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGIN}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out=quiet:{target}",
            *protos,
        ]
    )
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")


def differences() -> list[str]:
    """The generated files that are missing, stale or left over, by path below the target."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        return compare(Path(folder), TARGET)


def compare(fresh: Path, checked_in: Path) -> list[str]:
    """The paths at which two folders of generated code differ."""
    new, old = _contents(fresh), _contents(checked_in)
    return sorted(path for path in new.keys() | old.keys() if new.get(path) != old.get(path))


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.py*")
        if path.suffix in (".py", ".pyi") and path.name not in WRITTEN_BY_HAND
    }


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 where the checked-in code is not what the protos say."""
    if arguments == ["write"]:
        generate(TARGET)
        return 0
    if arguments == ["check"]:
        stale = differences()
        print(
            "generated code: fresh"
            if not stale
            else f"generated code differs; run `make proto`: {', '.join(stale)}"
        )
        return 1 if stale else 0
    print("usage: python -m tests.proto check | write")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
