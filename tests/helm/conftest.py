"""The chart, rendered by the real engine, and the documents that come of it."""

import functools
import json
import os
import pickle
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this platform")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "trueband"
KUBERNETES = ("1.29", "1.31", "1.33", "1.36")
CASES = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))

Document = dict[str, Any]


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A template that writes a key twice is a mistake which plain YAML would hide."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"keys that stand twice: {twice} {node.start_mark}"
        return super().construct_mapping(node, deep=deep)


def documents(text: str) -> list[Document]:
    """The YAML documents of a text, empty ones left out."""
    return [document for document in yaml.load_all(text, Loader=_UniqueKeyLoader) if document]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One rendering of the chart."""

    values: dict[str, Any]  # as merged with the defaults
    files: dict[str, str]
    documents: list[Document]

    @property
    def notes(self) -> str:
        return next(text for name, text in self.files.items() if name.endswith("NOTES.txt"))

    def kind(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> Document:
        found = self.kind(kind)
        assert len(found) == 1, f"{len(found)} of {kind}"
        return found[0]

    def jobs(self, *components: str) -> list[Document]:
        """The CronJobs of these components."""
        return [
            job
            for job in self.kind("CronJob")
            if job["metadata"]["labels"]["app.kubernetes.io/component"] in components
        ]

    def config(self, key: str) -> str:
        """The text of the one ConfigMap that has this key."""
        (text,) = [config["data"][key] for config in self.kind("ConfigMap") if key in config["data"]]
        assert isinstance(text, str)
        return text

    @staticmethod
    def pod(job: Document) -> Document:
        """The specification of the pods that a CronJob makes."""
        spec: Document = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return spec

    @property
    def pods(self) -> dict[str, Document]:
        """The specification of each pod, by what makes it."""
        found: dict[str, Document] = {}
        for document in self.documents:
            name = f"{document['kind']}/{document['metadata']['name']}"
            if document["kind"] == "Pod":
                found[name] = document["spec"]
            elif document["kind"] == "Deployment":
                found[name] = document["spec"]["template"]["spec"]
            elif document["kind"] == "CronJob":
                found[name] = self.pod(document)
        return found

    @staticmethod
    def containers(pod: Document) -> list[Document]:
        """The containers of a pod in the order in which they start."""
        return [*pod.get("initContainers", []), *pod["containers"]]

    @staticmethod
    def environment(container: Document) -> dict[str, Any]:
        """Variables of a container: the value, or where it comes from."""
        names = [entry["name"] for entry in container["env"]]
        assert len(names) == len(set(names)), "a variable stands twice"
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}

    @property
    def server(self) -> Document:
        """The pod with the model server."""
        spec: Document = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def sidecar(self) -> Document:
        """The sidecar's container."""
        container: Document = self.server["initContainers"][-1]
        return container


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Containers of a pod as processes of this computer: each volume is a folder, each Secret's key a text."""

    folder: Path
    secrets: dict[str, str]

    def volume(self, name: str) -> Path:
        """The folder that stands for a volume."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def variables(self, release: Release, container: Document, **changes: str) -> dict[str, str]:
        """The container's environment, with the paths of its volumes' folders; keywords replace what it has."""
        found = {**os.environ}
        for name, value in release.environment(container).items():
            text = value if isinstance(value, str) else self.secrets[name]
            text = changes.get(name, text)
            for mount in container["volumeMounts"]:
                if f"{text.removeprefix('unix:')}/".startswith(f"{mount['mountPath']}/"):
                    text = text.replace(mount["mountPath"], str(self.volume(mount["name"])), 1)
                    break
            found[name] = text
        return found

    @staticmethod
    def command(container: Document) -> list[str]:
        """The container's command, with this Python."""
        assert container["command"][0] == "python"
        return [sys.executable, *container["command"][1:]]


@pytest.fixture
def local() -> Iterator[Local]:
    """In a folder with a short name: the path of a Unix socket has room for some hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="tb-"))
    yield Local(folder=folder, secrets={})
    shutil.rmtree(folder)


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """`free_ports(3)`: so many ports of which nobody listens."""

    def found(count: int) -> list[int]:
        sockets = [socket.socket() for _ in range(count)]
        try:
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [each.getsockname()[1] for each in sockets]
        finally:
            for each in sockets:
                each.close()

    return found


@pytest.fixture(scope="session")
def chart() -> Iterator[Any]:
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def render(chart: Any) -> Callable[..., Release]:
    """`render(values, kubernetes="1.33", name="demo")`: a Release; raises as the engine does.

    The engine works once for the same arguments, unless `again`; each Release is the caller's own.
    """

    def engine(values: str, kubernetes: str, name: str) -> bytes:
        # Chart.render cannot say for which Kubernetes; the native call behind it can (helm-python-sdk 0.2.2).
        options = {"name": name, "namespace": "models", "kube_version": f"v{kubernetes}.0"}
        files = json.loads(helm._native.call_string("helm_render", chart._raw(), values, json.dumps(options)))
        release = Release(
            values=chart.merge_values(json.loads(values)),
            files=files,
            documents=[
                document
                for path, content in sorted(files.items())
                if path.endswith(".yaml")
                for document in documents(content)
            ],
        )
        return pickle.dumps(release)

    remembered = functools.cache(engine)

    def rendered(
        values: dict[str, Any] | None = None,
        *,
        kubernetes: str = "1.33",
        name: str = "demo",
        again: bool = False,
    ) -> Release:
        call = engine if again else remembered
        release: Release = pickle.loads(call(json.dumps(values or {}), kubernetes, name))
        return release

    return rendered


def case_values(case: str) -> dict[str, Any]:
    """What a file in `ci/` holds."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{case}-values.yaml").read_text()) or {}
    return values


@pytest.fixture(scope="session", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=KUBERNETES)
def kubernetes(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    return version


@pytest.fixture(scope="session")
def values(case: str) -> dict[str, Any]:
    """One values file of `ci/`, each in turn."""
    return case_values(case)


@pytest.fixture(scope="session")
def release(values: dict[str, Any], render: Callable[..., Release]) -> Release:
    """The chart rendered with one values file of `ci/`, each in turn. Shared: not to be changed."""
    return render(values)


@pytest.fixture
def retraining() -> dict[str, Any]:
    """Values with which the retrain job is accepted."""
    return case_values("retrain")


@pytest.fixture
def watching() -> dict[str, Any]:
    """Values with which the watch is accepted."""
    return case_values("watch")


@pytest.fixture
def refusal(render: Callable[..., Release]) -> Callable[..., str]:
    """`refusal(values)`: what the schema says against these values; fails if it has nothing against them."""

    def refused(values: dict[str, Any]) -> str:
        with pytest.raises(helm.HelmValuesError) as caught:
            render(values)
        return re.sub(r"\s+", " ", str(caught.value))

    return refused


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def chart_path() -> Path:
    return CHART
