"""The table of values in the chart's README is the one that values.yaml gives.

`python tests/helm/test_values_table.py` writes it anew.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "trueband"
README = CHART / "README.md"
TABLE = re.compile(r"(?<=<!-- values: begin -->\n).*(?=<!-- values: end -->)", re.DOTALL)


def rows(node: yaml.MappingNode, lines: list[str], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, default and description of every value; one that is described is not taken apart."""
    for key, value in node.value:
        name = f"{path}{key.value}"
        above = lines[key.start_mark.line - 1].strip()
        if above.startswith("# -- "):
            yield name, default(value), above.removeprefix("# -- ")
        else:
            assert isinstance(value, yaml.MappingNode), f"{name} has no description (`# -- …`) in values.yaml"
            yield from rows(value, lines, f"{name}.")


def default(node: yaml.Node) -> str:
    """The default as the table shows it."""
    value = yaml.safe_load(yaml.serialize(node))
    if isinstance(value, str) and "\n" in value:
        return "see values.yaml"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def table() -> str:
    """The table that values.yaml gives."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    lines = ["| key | default | what it is |", "| --- | --- | --- |"]
    for name, value, description in rows(root, text.splitlines()):
        escaped = description.replace("|", "\\|")
        lines.append(f"| `{name}` | {value} | {escaped} |")
    return "\n".join(lines) + "\n"


def test_the_readme_has_the_table_of_values() -> None:
    found = TABLE.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == table(), "run: python tests/helm/test_values_table.py"


def test_every_description_is_used() -> None:
    """A `# --` comment that stands above no key would silently vanish from the table."""
    described = (CHART / "values.yaml").read_text(encoding="utf-8").count("\n") and len(
        re.findall(r"^ *# -- ", (CHART / "values.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert len(table().splitlines()) - 2 == described


if __name__ == "__main__":
    readme = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: table(), readme), encoding="utf-8")
