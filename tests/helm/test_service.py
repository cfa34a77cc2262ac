"""What the chart hands to the sidecar is what the sidecar takes: policy, settings, names, commands."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar import health
from sidecar.policy import loading
from sidecar.settings import Settings

SECRETS = {"TRUEBAND_DECISION_KEY": "0" * 64, "TRUEBAND_AUDIT_KEYS": "k1:" + "0" * 64}

POLICY = "version: 1\nmodels:\n  digits:\n    calibrator: file:/absent.json\n    evidence: score\n"


def given(release: Any, container: dict[str, Any]) -> dict[str, str]:
    """The environment of a container, with something well-formed where a Secret would be read."""
    return {
        name: value if isinstance(value, str) else SECRETS.get(name, "postgresql://db.data/trueband")
        for name, value in release.environment(container).items()
    }


def test_the_sidecar_takes_the_policy(release: Any) -> None:
    existing = release.values["policy"]["existingConfigMap"]
    assert bool(release.kind("ConfigMap")) is not bool(existing)
    for config in release.kind("ConfigMap"):
        policy = loading.parse(config["data"]["policy.yaml"]).policy
        assert set(release.values["retrain"]["models"]) <= set(policy.models)


def test_the_default_policy_says_what_the_design_says(render: Callable[..., Any]) -> None:
    text = render({}).one("ConfigMap")["data"]["policy.yaml"]
    model = loading.parse(text).policy.models["lead-classifier"]
    assert [(float(band.from_), band.action.value) for band in model.bands] == [
        (0.9, "AUTO_ROUTE"),
        (0.7, "AUTO_ROUTE_FLAGGED"),
        (0.5, "HOLD_FOR_REVIEW"),
        (0.0, "REJECT"),
    ]
    mandatory = {name for name, category in model.categories.items() if category.mandatory_review}
    assert mandatory == {"legal_language", "pricing", "account_strategy"}
    keys = "mode calibrator model_version evidence bands classes categories unknown_category"
    assert set(yaml.safe_load(text)["models"]["lead-classifier"]) == set(keys.split())


def test_the_sidecar_takes_the_settings(release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRUEBAND_")]:
        monkeypatch.delenv(name)
    variables = given(release, release.sidecar)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    known = {f"TRUEBAND_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in variables if name.startswith("TRUEBAND_")} <= known
    settings = Settings()  # type: ignore[call-arg]  # from the environment
    values = release.values["sidecar"]
    assert settings.listen == variables["TRUEBAND_LISTEN"]
    assert settings.ready_without_calibrator is values["readyWithoutCalibrator"]
    assert settings.journal_max_bytes == values["journalMaxBytes"]
    assert (settings.poll_interval, settings.drain_seconds) == (
        values["pollIntervalSeconds"],
        values["drainSeconds"],
    )
    assert bool(settings.metrics_listen) is values["metrics"]["enabled"]


def test_probes_ask_for_names_that_there_are(release: Any) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert release.sidecar[probe]["grpc"]["service"] in (health.ALL, health.LIVENESS)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket has room for some hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="tb-"))
    yield folder
    shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize(
    ("mode", "ready"), [("socket", False), ("loopback", True)], ids=["socket-strict", "loopback-lenient"]
)
def test_a_sidecar_started_as_rendered_answers_its_probes_and_the_check(
    render: Callable[..., Any], short_path: Path, root: Path, mode: str, ready: bool
) -> None:
    """The rendered command, environment and policy, with the volumes' paths moved to a temporary folder."""
    api, health_port, metrics_port = free_ports(3)
    release = render(
        {
            "sidecar": {
                "api": {"mode": mode, "port": api},
                "health": {"port": health_port},
                "metrics": {"port": metrics_port},
                "drainSeconds": 1,
                "readyWithoutCalibrator": ready,
            },
            "policy": {"document": POLICY},
        }
    )

    def moved(container: dict[str, Any]) -> dict[str, str]:
        variables = given(release, container)
        folders = {mount["mountPath"]: short_path / mount["name"] for mount in container["volumeMounts"]}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        for name, value in variables.items():
            mounted = [path for path in folders if value.removeprefix("unix:").startswith(path)]
            if mounted:
                variables[name] = value.replace(mounted[0], str(folders[mounted[0]]), 1)
        return {**os.environ, **variables}

    def command(container: dict[str, Any]) -> list[str]:
        assert container["command"][0] == "python"
        return [sys.executable, *container["command"][1:]]

    variables = moved(release.sidecar)
    Path(variables["TRUEBAND_POLICY"]).write_text(release.one("ConfigMap")["data"]["policy.yaml"])
    log = short_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command(release.sidecar), env=variables, cwd=root, stderr=output) as process,
    ):
        try:
            probes = {
                probe: release.sidecar[probe]["grpc"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            with grpc.insecure_channel(f"127.0.0.1:{health_port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)

                def state(probe: str) -> str:
                    request = health_pb2.HealthCheckRequest(service=probes[probe]["service"])
                    try:
                        answer = stub.Check(request)
                    except grpc.RpcError:
                        return "NO ANSWER"
                    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

                assert probes["startupProbe"]["port"] == health_port
                while state("startupProbe") != "SERVING":
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.05)
                assert state("livenessProbe") == "SERVING"
                # The calibrator is absent: in strict mode the pod is not ready, yet never restarted.
                assert state("readinessProbe") == ("SERVING" if ready else "NOT_SERVING")

            with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as page:
                assert b"trueband_" in page.read()

            check = release.one("Pod")["spec"]["containers"][0]
            status = subprocess.run(
                [*command(check), "--json"],
                env=moved(check),
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
            assert status.returncode == (0 if ready else 1), status.stderr
            assert [slot["model"] for slot in json.loads(status.stdout)["calibrators"]] == ["digits"]
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()
