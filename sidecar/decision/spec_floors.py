"""The part of a policy's document on floors: what no policy can take away, and what texts are read for."""

from collections.abc import Iterator

from sidecar.policy import categories
from sidecar.policy.detectors import Detector
from sidecar.policy.floors_file import Floors, LoadedFloors
from sidecar.policy.loading import LoadedPolicy


def sections(loaded: LoadedPolicy, floors: LoadedFloors | None) -> Iterator[str]:
    """The lines on the floors file, on detectors, and on the brake."""
    yield "## Floors"
    yield ""
    yield (
        "A floor takes actions away. Every floor that binds is intersected with the others, so none can be "
        "cancelled, and none can permit what another forbids."
    )
    yield ""
    if floors is None:
        yield "There is no floors file: what is mandatory stands in the policy, beside what is built in."
    else:
        yield (
            f"Floors digest `{floors.digest}`. The file has an owner of its own; the policy can add to it "
            "and takes nothing from it. Every decision names it. A running service refuses a change of "
            "either file that would end mandatory review anywhere."
        )
        yield ""
        yield from _listed(floors.floors)
    yield ""
    yield (
        "A person can suspend a tenant, model, version, band, category or source while the service runs, or "
        "everything: at once, until a person lifts it. What is suspended waits for a person."
    )
    yield ""
    yield "### Detectors"
    yield ""
    given = () if floors is None else floors.floors.detectors
    if not given and not loaded.policy.detectors:
        yield "None: nothing is looked for in the context."
        return
    yield (
        "Each looks for its pattern (RE2) in the context. Where it finds it, the answer waits for a person, "
        "whatever category was declared."
    )
    yield ""
    yield "| detector | from | stands for | looks at | pattern |"
    yield "|---|---|---|---|---|"
    yield from (_row(detector, "floors") for detector in given)
    yield from (_row(detector, "policy") for detector in loaded.policy.detectors)


def _listed(floors: Floors) -> Iterator[str]:
    lines = [f"* every model: `{name}`" for name in floors.mandatory_categories]
    for name, own in sorted(floors.models.items()):
        lines += [f"* model `{name}`: `{category}`" for category in own.mandatory_categories]
        lines += [
            f"* model `{name}`: `{category}` from {each.from_:f} to {each.to:f}"
            for category, ranges in sorted(own.mandatory_ranges.items())
            for each in ranges
        ]
    yield from lines or ["It names no category beside those built in."]


def _row(detector: Detector, origin: str) -> str:
    fields = ", ".join(f"`{field}`" for field in detector.fields_) or "all of it"
    # A vertical line would end the cell of the table.
    pattern = detector.pattern.replace("|", "\\|").replace("\n", " ")
    case = "" if detector.ignore_case else " (case as written)"
    return (
        f"| {detector.name} | {origin} | `{categories.normalise(detector.category)}` | {fields} | "
        f"`{pattern}`{case} |"
    )
