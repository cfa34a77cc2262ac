"""File sources, and the URIs that name sources."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import calibrators
from calibrators import Calibrator, CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.registry import mlflow_source, sources
from sidecar.service.registry.mlflow_source import MlflowSource
from sidecar.service.registry.sources import FileSource


def test_a_file_says_what_it_holds_and_a_change_is_seen(
    tmp_path: Path, make_calibrator: Callable[..., Calibrator]
) -> None:
    path = tmp_path / "cal.json"
    path.write_text(calibrators.dumps(make_calibrator(1.5)))
    source = FileSource(path)
    first = source.current()
    assert first.name == str(path)
    assert first.version == ""
    assert first == source.current()
    assert source.fetch(first) == path.read_bytes()
    assert source.revoked("") is False
    path.write_text(calibrators.dumps(make_calibrator(1.25)))
    assert source.current() != first


def test_a_link_is_followed_anew_each_time(tmp_path: Path) -> None:
    # How Kubernetes swaps a ConfigMap: the link in between moves.
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    link = tmp_path / "cal.json"
    link.symlink_to("a")
    source = FileSource(link)
    before = source.current()
    link.unlink()
    link.symlink_to("b")
    assert source.current() != before
    assert source.fetch(before) == b"two"


def unreadable(tmp_path: Path, case: str) -> Path:
    path = tmp_path / "cal.json"
    if case == "folder":
        path.mkdir()
    elif case == "pipe":
        os.mkfifo(path)
    elif case == "null byte":
        return Path(f"{tmp_path}/cal\0.json")
    elif case == "below a file":
        path.write_text("{}")
        return path / "deeper"
    return path


@pytest.mark.parametrize("case", ["missing", "folder", "pipe", "null byte", "below a file"])
def test_a_file_that_cannot_be_read_is_a_failure_with_a_code(tmp_path: Path, case: str) -> None:
    source = FileSource(unreadable(tmp_path, case))
    with pytest.raises(RegistryFailure) as failed:
        source.current()
    assert failed.value.code == "FILE_UNREADABLE"
    assert "cal" in str(failed.value)


def test_no_more_than_the_largest_document_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cal.json"
    with path.open("wb") as file:
        file.truncate(sources.MAX_DOCUMENT_BYTES)
    assert len(FileSource(path).fetch(FileSource(path).current())) == sources.MAX_DOCUMENT_BYTES
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte, as a hole: reading it would take all memory
    with pytest.raises(CalibratorRefused) as refused:
        FileSource(path).current()
    assert refused.value.code == "DOCUMENT_TOO_LARGE"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:cal.json", "cal.json"),
        ("file:/etc/trueband/cal.json", "/etc/trueband/cal.json"),
        ("file:/etc/100%25/cal.json", "/etc/100%25/cal.json"),
        ("file:///etc/two%20words.json", "/etc/two words.json"),
        ("file://localhost/etc/cal.json", "/etc/cal.json"),
    ],
)
def test_file_uris(uri: str, path: str) -> None:
    assert sources.file_path(uri) == Path(path)
    assert isinstance(mlflow_source.open_source(uri), FileSource)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("file://fileserver/cal.json", "FILE_UNREADABLE"),
        ("models:/cal", "SOURCE_UNKNOWN"),
        ("models:/cal@", "SOURCE_UNKNOWN"),
        ("models:/cal/0", "SOURCE_UNKNOWN"),
        ("models:/cal/latest", "SOURCE_UNKNOWN"),
        ("https://example.org/cal.json", "SOURCE_UNKNOWN"),
        ("", "SOURCE_UNKNOWN"),
    ],
)
def test_other_uris_are_refused(uri: str, code: str) -> None:
    with pytest.raises(RegistryFailure) as failed:
        mlflow_source.open_source(uri)
    assert failed.value.code == code


def test_models_uris_open_mlflow_sources_without_asking_anything() -> None:
    assert isinstance(
        mlflow_source.open_source("models:/cal@champion", registry_uri="http://nowhere"), MlflowSource
    )
    assert isinstance(
        mlflow_source.open_source("models:/cal/17", registry_uri="http://nowhere"), MlflowSource
    )
    with pytest.raises(ValueError, match="an alias or a version"):
        MlflowSource(name="cal", alias="champion", version="3")


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        ("http://a:1/", {}, "http://a:1"),
        (None, {"MLFLOW_TRACKING_URI": "https://b"}, "https://b"),
        (None, {"MLFLOW_TRACKING_URI": "https://b", "MLFLOW_REGISTRY_URI": "http://c"}, "http://c"),
        ("http://a", {"MLFLOW_REGISTRY_URI": "http://c"}, "http://a"),
    ],
)
def test_the_registrys_address(given: str | None, environment: dict[str, str], address: str) -> None:
    assert mlflow_source.registry_address(given, environment) == address


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "REGISTRY_NOT_CONFIGURED"),
        ("sqlite:///mlflow.db", "REGISTRY_SCHEME_UNSUPPORTED"),
        ("databricks", "REGISTRY_SCHEME_UNSUPPORTED"),
        ("/srv/mlruns", "REGISTRY_SCHEME_UNSUPPORTED"),
    ],
)
def test_an_address_that_the_sidecar_cannot_use_is_refused_with_what_to_do(
    given: str | None, code: str
) -> None:
    with pytest.raises(RegistryFailure, match="MLFLOW_TRACKING_URI=http://HOST:PORT") as failed:
        mlflow_source.registry_address(given, {})
    assert failed.value.code == code
