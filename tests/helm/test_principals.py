"""Principals and floors: mounted from where the values say, taken by the sidecar; `helm test` shows a token."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

POLICY = "version: 1\nmodels:\n  digits:\n    calibrator: file:/absent.json\n    evidence: score\n"
FLOORS = "version: 1\nmandatory_categories: [legal]\n"
GIVEN = {"existingSecret": {"name": "principals", "key": "who.yaml"}}
TOKEN = {"existingSecret": {"name": "auditor-token"}}


def test_the_principals_are_a_file_from_the_secret(release: Any) -> None:
    secret = release.values["principals"]["existingSecret"]
    for pod in release.pods.values():
        for container in release.containers(pod):
            file = release.environment(container).get("TRUEBAND_PRINCIPALS")
            assert bool(file) is (container["name"] == "trueband" and bool(secret["name"]))
            if not file:
                continue
            (mount,) = [m for m in container["volumeMounts"] if m["name"] == "trueband-principals"]
            assert file == f"{mount['mountPath']}/principals.yaml"
            # The kubelet does not refresh a subPath, and the file must hot-reload.
            assert mount == {"name": mount["name"], "mountPath": mount["mountPath"], "readOnly": True}
            (volume,) = [v for v in pod["volumes"] if v["name"] == "trueband-principals"]
            items = [{"key": secret["key"], "path": "principals.yaml"}]
            assert volume["secret"] == {"secretName": secret["name"], "items": items}


def test_the_check_needs_a_token_with_principals(
    render: Callable[..., Any], refusal: Callable[..., str]
) -> None:
    assert "/tests/token/existingSecret/name" in refusal({"principals": GIVEN})
    assert render({"principals": GIVEN, "tests": {"enabled": False}}).kind("Pod") == []
    release = render({"principals": GIVEN, "tests": {"token": TOKEN}})
    found = release.environment(release.one("Pod")["spec"]["containers"][0])
    assert found["TRUEBAND_TOKEN"] == {"secretKeyRef": {"name": "auditor-token", "key": "token"}}
    assert "TRUEBAND_TOKEN" not in release.environment(release.sidecar)


def test_the_model_server_may_be_given_its_token(render: Callable[..., Any]) -> None:
    entry = {"name": "TRUEBAND_TOKEN", "valueFrom": {"secretKeyRef": {"name": "caller", "key": "token"}}}
    release = render({"principals": GIVEN, "tests": {"token": TOKEN}, "modelServer": {"extraEnv": [entry]}})
    server = release.server["containers"][0]
    assert release.environment(server)["TRUEBAND_TOKEN"] == entry["valueFrom"]


@pytest.mark.parametrize(("token", "code"), [("of-the-auditor", 0), ("of-nobody", 2)])
def test_a_sidecar_started_as_rendered_knows_who_calls_and_what_is_floored(
    render: Callable[..., Any],
    local: Any,
    free_ports: Callable[[int], list[int]],
    root: Path,
    token: str,
    code: int,
) -> None:
    health, metrics = free_ports(2)
    release = render(
        {
            "sidecar": {"health": {"port": health}, "metrics": {"port": metrics}, "drainSeconds": 1},
            "policy": {"document": POLICY},
            "floors": {"document": FLOORS},
            "principals": GIVEN,
            "tests": {"token": TOKEN},
        }
    )
    local.secrets["TRUEBAND_TOKEN"] = token
    digest = hashlib.sha256(b"of-the-auditor").hexdigest()
    texts = {
        "policy": release.config("policy.yaml"),
        "floors": release.config("floors.yaml"),
        "principals": f"principals: [{{name: helm, kind: service, roles: [auditor], token_sha256: {digest}}}]",
    }
    for kind, text in texts.items():
        (local.volume(f"trueband-{kind}") / f"{kind}.yaml").write_text(text)
    pod = release.one("Pod")["spec"]
    (copy,), (check,) = pod["initContainers"], pod["containers"]
    log = local.folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            local.command(copy), env=local.variables(release, copy), cwd=root, stderr=output
        ) as process,
    ):
        try:
            while '"listening"' not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            status = subprocess.run(
                [*local.command(check), "--json"],
                env=local.variables(release, check),
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            process.terminate()
    assert status.returncode == code, status.stderr
    if code:
        assert "UNAUTHENTICATED" in status.stderr
    else:
        assert json.loads(status.stdout)["floors_digest"].startswith("sha256:")
