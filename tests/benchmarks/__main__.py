"""`make bench`: every measurement, as ratios within one run. Never part of the tests."""

import importlib
import sys

PARTS = ("calibrators", "journal", "service")


def main(chosen: list[str]) -> int:
    """Prints the measurements of the named parts, or of all."""
    unknown = set(chosen) - set(PARTS)
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for part in chosen or PARTS:
        print(f"\n{part}\n{'-' * len(part)}", flush=True)
        for name, measured in importlib.import_module(f"tests.benchmarks.{part}").run():
            print(f"{name:58} {measured}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
