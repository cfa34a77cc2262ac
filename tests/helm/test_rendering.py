"""The chart over several values files and Kubernetes versions: valid for Kubernetes, clean for Helm."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

helm = pytest.importorskip("helm_python")
kubernetes_validate = pytest.importorskip("kubernetes_validate")


def test_each_document_is_valid_for_each_kubernetes(
    render: Callable[..., Any], values: dict[str, Any], kubernetes: str
) -> None:
    documents = render(values, kubernetes=kubernetes).documents
    assert {"Deployment"} <= {document["kind"] for document in documents}
    for document in documents:
        kubernetes_validate.validate(document, kubernetes, strict=True)


def test_the_validation_would_see_a_mistake(render: Callable[..., Any], kubernetes: str) -> None:
    deployment = render({}, kubernetes=kubernetes).one("Deployment")
    del deployment["spec"]["template"]["spec"]["initContainers"][0]["livenessProbe"]["grpc"]["port"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes, strict=True)


def test_strict_lint_is_clean(chart_path: Path, values: dict[str, Any], kubernetes: str) -> None:
    report = helm.lint(chart_path, values, strict=True, kube_version=f"v{kubernetes}.0")
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_a_dry_run_installs_what_is_rendered(
    chart_path: Path, values: dict[str, Any], render: Callable[..., Any]
) -> None:
    with helm.Config(storage_driver="memory") as config:
        installed = config.install(chart_path, "demo", values, namespace="models", dry_run="client")
    kinds = sorted(document["kind"] for document in yaml.safe_load_all(installed["manifest"]) if document)
    # The test pod is a hook, which is not part of a release's manifest.
    expected = sorted(document["kind"] for document in render(values).documents if document["kind"] != "Pod")
    assert kinds == expected


def test_rendering_twice_gives_the_same(render: Callable[..., Any], values: dict[str, Any]) -> None:
    assert render(values).files == render(values, again=True).files


def test_the_package_has_all_that_a_user_needs_and_no_more(
    chart_path: Path, tmp_path: Path, values: dict[str, Any], render: Callable[..., Any]
) -> None:
    archive = Path(helm.package(chart_path, destination=tmp_path))
    with tarfile.open(archive) as content:
        names = {name.removeprefix("trueband/") for name in content.getnames()}
    assert {"Chart.yaml", "README.md", "values.yaml", "values.schema.json", "templates/NOTES.txt"} <= names
    assert not [name for name in names if name.startswith("ci/")]
    with helm.Chart.load_archive(archive.read_bytes()) as packaged:
        files = packaged.render(values, name="demo", namespace="models")
    assert files == render(values, kubernetes="1.36").files


def test_the_chart_asks_for_a_kubernetes_with_native_sidecars(chart_path: Path) -> None:
    metadata = yaml.safe_load((chart_path / "Chart.yaml").read_text())
    assert metadata["kubeVersion"] == ">=1.29.0-0"


def test_the_chart_works_below_a_parent(chart_path: Path, tmp_path: Path) -> None:
    """`global` comes down from a parent; a closed schema that forgets it breaks every parent."""
    parent = tmp_path / "parent"
    (parent / "templates").mkdir(parents=True)
    (parent / "Chart.yaml").write_text(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n"
        f"  - {{name: trueband, version: 0.1.0, repository: 'file://{chart_path}'}}\n"
    )
    (parent / "values.yaml").write_text("global: {region: eu}\ntrueband: {nameOverride: band}\n")
    helm.dependency_update(parent)
    with helm.Chart.load(parent) as loaded:
        files = loaded.render({}, name="demo", namespace="models")
        assert any("name: demo-band" in text for text in files.values())
        with pytest.raises(helm.HelmValuesError):
            loaded.render({"trueband": {"unknown": 1}}, name="demo", namespace="models")
