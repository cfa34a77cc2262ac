"""`make verify-statistics`: every claim with what was measured; ends with 1 if one does not hold."""

import importlib
import sys
import time

from tests.statistics.check import Check, Effort

STUDIES = (
    "estimates",
    "weighting",
    "alarms",
    "cut_offs",
    "selection",
    "score_shift",
    "lower_curve",
    "gate",
    "challenger",
)


def main(chosen: list[str]) -> int:
    """Runs the named studies, or all."""
    unknown = set(chosen) - set(STUDIES)
    if unknown:
        print(f"no such study: {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}", file=sys.stderr)
        return 2
    failed = 0
    for study in chosen or STUDIES:
        began = time.monotonic()
        checks: list[Check] = importlib.import_module(f"tests.statistics.{study}").run(Effort.FULL)
        print(f"\n{study} ({time.monotonic() - began:.0f} s)")
        for check in checks:
            print(f"  {'holds ' if check.holds else 'BROKEN'}  {check.claim}: {check.measured}", flush=True)
            failed += not check.holds
    print(f"\n{'every claim holds' if not failed else f'{failed} claims do not hold'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
