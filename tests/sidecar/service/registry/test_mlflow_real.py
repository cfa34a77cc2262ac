"""The watcher on a real MLflow server: aliases picked up, swapped, revoked; nothing imported too early."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from calibrators import Calibrator, Isotonic
from sidecar.service.registry import CalibratorSlot, Expectation

M = CalibratorSlot("m")
Make = Callable[..., Calibrator]
names = (f"watched-{number}" for number in itertools.count(1))


@pytest.fixture
def name() -> str:
    return next(names)


@pytest.fixture
def client(mlflow_registry: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)


def test_from_no_model_to_a_swap_and_back(
    make_watcher,
    mlflow_registry: str,
    client,
    register_version,
    name: str,
    make_calibrator: Make,
    changes,
    eventually,
) -> None:
    """The life of an alias, picked up by polling alone."""
    first, second = make_calibrator(1.5), make_calibrator(1.25)
    watcher = make_watcher(
        f"models:/{name}@champion", poll_seconds=0.2, changes=changes
    )  # as the environment says
    watcher.start()
    code = lambda: watcher.statuses()[0].last_error_code  # noqa: E731
    eventually(lambda: code() == "REGISTERED_MODEL_UNKNOWN")
    register_version(name, first)
    eventually(lambda: code() == "ALIAS_UNKNOWN")
    assert watcher.current() == {}

    client.set_registered_model_alias(name, "champion", "1")
    eventually(lambda: M in watcher.current())
    held = watcher.current()[M]
    assert held.calibrator == first
    assert (held.reference.name, held.reference.version, held.reference.digest) == (name, "1", first.digest)
    eventually(lambda: watcher.current()[M].confirmed_at > held.confirmed_at)
    assert code() is None

    register_version(name, second, alias="champion")
    eventually(lambda: watcher.current()[M].reference.version == "2")
    client.set_registered_model_alias(name, "champion", "1")
    eventually(lambda: watcher.current()[M].reference.version == "1")
    client.delete_registered_model_alias(name, "champion")
    eventually(lambda: code() == "ALIAS_UNKNOWN")
    assert watcher.current()[M].calibrator == first  # the registry says nothing: the last good one stays
    assert [digest for _, digest in changes.seen] == [first.digest, second.digest, first.digest]


def test_what_no_sidecar_may_take(
    make_watcher, mlflow_registry: str, client, register_version, name: str, make_calibrator: Make
) -> None:
    first, second = make_calibrator(1.5), make_calibrator(1.25)
    register_version(name, first, alias="champion")
    watcher = make_watcher(f"models:/{name}@champion", registry_uri=mlflow_registry)
    watcher.start()
    watcher.reload_now(timeout=60.0)
    held = watcher.current()[M]
    for tags, code in (
        ({}, "DIGEST_TAG_MISSING"),
        ({"trueband.sha256": first.digest}, "DIGEST_MISMATCH"),
        ({"trueband.sha256": second.digest, "trueband.revoked": "by ada"}, "CALIBRATOR_REVOKED"),
    ):
        register_version(name, second, alias="champion", tags=tags)
        [status] = watcher.reload_now(timeout=60.0)
        assert status.last_error_code == code
        assert watcher.current()[M].reference == held.reference
    client.set_model_version_tag(name, "1", "trueband.revoked", "by grace")
    [status] = watcher.reload_now(timeout=60.0)
    assert status.in_force is None


def test_a_fixed_version_is_served_whatever_the_alias_says(
    make_watcher, mlflow_registry: str, register_version, name: str, make_calibrator: Make
) -> None:
    fitted = Calibrator(
        map=Isotonic(x=(0.1, 0.5, 0.9), y=(0.2, 0.5, 0.7)), applies_to=make_calibrator().applies_to
    )
    register_version(name, fitted)
    register_version(name, make_calibrator(1.25), alias="champion")
    watcher = make_watcher(
        {M: Expectation(uri=f"models:/{name}/1", evidence="score")}, registry_uri=mlflow_registry
    )
    watcher.start()
    watcher.reload_now(timeout=60.0)
    assert watcher.current()[M].calibrator == fitted
    assert watcher.current()[M].reference.kind == "isotonic"


def test_training_and_the_sidecar_play_together(
    make_watcher,
    mlflow_registry: str,
    register_version,
    name: str,
    make_calibrator: Make,
    changes,
    eventually,
) -> None:
    """A rollback reaches the sidecar as a swap, without a moment in which nothing is in force."""
    from training import registry

    first, second = make_calibrator(1.5), make_calibrator(1.25)
    for calibrator in (first, second):
        register_version(name, calibrator)
    registry.promote(name, "1", by="ada", reason="first")
    registry.promote(name, "2", by="ada", reason="better")
    watcher = make_watcher(
        f"models:/{name}@champion", registry_uri=mlflow_registry, poll_seconds=0.02, changes=changes
    )
    watcher.start()
    watcher.reload_now(timeout=60.0)
    assert watcher.current()[M].reference.version == "2"
    registry.rollback(name, by="ada", reason="worse")
    eventually(lambda: watcher.current()[M].reference.version == "1")
    [status] = watcher.reload_now(timeout=60.0)
    assert status.last_error is None
    assert changes.seen == [(M, second.digest), (M, first.digest)]


def test_no_folder_is_left_behind(
    make_watcher,
    mlflow_registry: str,
    register_version,
    name: str,
    make_calibrator: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [register_version(name, make_calibrator(slope)) for slope in (1.5, 1.25)]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    slots = {
        CalibratorSlot("m", number): Expectation(
            uri=f"models:/{name}/{number}", evidence="score", model_version=number
        )
        for number in numbers
    }
    watcher = make_watcher(slots, registry_uri=mlflow_registry)
    watcher.start()
    assert [status.last_error for status in watcher.reload_now(timeout=60.0)] == [None, None]
    assert list(scratch.iterdir()) == []


LATE_IMPORT = """
import json, sys, time
from pathlib import Path

began = time.perf_counter()
from sidecar.service import registry
from sidecar.service.registry import Expectation, CalibratorSlot

uri, directory = sys.argv[1:]
told = []
watcher = registry.RegistryWatcher(
    {CalibratorSlot("m"): Expectation(uri=uri, evidence="score")},
    directory=Path(directory),
    on_change=lambda slot, in_force: told.append(in_force is not None),
)
watcher.load_cache()
loaded = {
    "in_force": [held.reference.version for held in watcher.current().values()],
    "attempted": watcher.statuses()[0].attempted,
    "heavy": sorted({"mlflow", "numpy", "pandas", "requests", "grpc"} & sys.modules.keys()),
    "told": list(told),
}
watcher.start()
[status] = watcher.reload_now(timeout=120.0)
watcher.stop()
import os
print(json.dumps({
    **loaded,
    "mlflow_after_start": "mlflow" in sys.modules,
    "error": status.last_error,
    "confirmed": status.in_force is not None and not status.in_force.from_cache,
    "time_out": os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT"),
    "retries": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
}))
"""


def test_a_start_serves_the_cache_before_mlflow_is_imported(
    make_watcher, mlflow_registry: str, register_version, name: str, make_calibrator: Make
) -> None:
    register_version(name, make_calibrator(), alias="champion")
    uri = f"models:/{name}@champion"
    watcher = make_watcher(uri, registry_uri=mlflow_registry)
    watcher.start()
    watcher.reload_now(timeout=60.0)
    watcher.stop()

    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": mlflow_registry, "MLFLOW_HTTP_REQUEST_TIMEOUT": "31"}
    done = subprocess.run(
        [sys.executable, "-c", LATE_IMPORT, uri, str(make_watcher.directory)],
        cwd=Path(__file__).resolve().parents[4],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {
        "in_force": ["1"],
        "attempted": True,
        "heavy": [],
        "told": [True],
        "mlflow_after_start": True,
        "error": None,
        "confirmed": True,
        # The user's own setting stands; where there is none, ours does.
        "time_out": "31",
        "retries": "0",
    }
