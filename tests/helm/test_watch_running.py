"""A watch started as rendered: over the sidecar beside it, an alarm suspends a band for all."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.decision.records import Artifact
from sidecar.decision.steps import CalibratorReference
from sidecar.decision.suspensions import Suspension
from sidecar.ledger import governance, intake
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import TaskKind
from tests import builders

TOKEN = "of-the-watch"
POLICY = """
version: 1
models:
  m:
    calibrator: models:/nowhere@champion
    evidence: score
    bands:
      - {name: auto, from: 0.90, action: AUTO_ROUTE, on_breach: hold}
      - {name: reject, from: 0.00, action: REJECT}
"""


def broken_promise(ledger: Ledger, text: str) -> None:
    """Audited decisions of the band `auto` of the model `m`, of which every fourth was wrong."""
    known = loading.parse(text)
    records: list[Any] = [Artifact(digest=known.digest, kind="policy", body=known.canonical)]
    start = time.time() - 3600
    for number in range(120):
        decision = builders.decision(
            number,
            at=start + number,
            model="m",
            category="",
            score=0.96,
            calibrated_confidence=0.95,
            calibrator=CalibratorReference(name="c", version="1", kind="platt", digest="sha256:c"),
            drawn=True,
            tasks=builders.planned(TaskKind.AUDIT, due_at=start + 1e6),
            policy_digest=known.digest,
            sidecar_id="of-the-release",
        )
        records += [decision, builders.label_about(decision, number % 4 != 0, TaskKind.AUDIT)]
    ledger.migrate()
    ledger.write(intake.take_in, records)


def test_an_alarm_suspends_the_band_of_every_sidecar_over_the_one_beside_the_watch(
    render: Callable[..., Any],
    local: Any,
    free_ports: Callable[[int], list[int]],
    root: Path,
    watching: dict[str, Any],
) -> None:
    """Both containers as rendered, over a ledger with a broken promise; what is left is in the ledger."""
    health, metrics = free_ports(2)
    principals = (
        "principals: [{name: trueband-watch, kind: service, roles: [operator], token_sha256: "
        f"{hashlib.sha256(TOKEN.encode()).hexdigest()}}}]"
    )
    release = render(
        {
            **watching,
            "policy": {"document": POLICY},
            "sidecar": {"health": {"port": health}, "metrics": {"port": metrics}, "drainSeconds": 5},
            "extraVolumes": [],
            "modelServer": {},
            "training": {},
            "principals": {"existingSecret": {"name": "principals"}},
            "watch": {
                "enabled": True,
                "sidecar": {"enabled": True},
                "token": {"existingSecret": {"name": "t"}},
            },
            "tests": {"enabled": False},
        }
    )
    url = f"sqlite:///{local.folder / 'ledger.db'}"
    local.secrets.update(TRUEBAND_TOKEN=TOKEN, MLFLOW_TRACKING_TOKEN="none")
    with Ledger(url) as ledger:
        broken_promise(ledger, release.config("policy.yaml"))
    for kind, text in (
        ("policy", release.config("policy.yaml")),
        ("principals", principals),
        ("floors", release.config("floors.yaml")),
    ):
        (local.volume(f"trueband-{kind}") / f"{kind}.yaml").write_text(text)

    (job,) = release.jobs("watch")
    (beside,), (watch,) = release.pod(job)["initContainers"], release.pod(job)["containers"]
    variables = local.variables(release, beside, TRUEBAND_LEDGER_URL=url)
    log = local.folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(local.command(beside), env=variables, cwd=root, stderr=output) as process,
    ):
        try:
            while '"listening"' not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            looked = subprocess.run(
                local.command(watch),
                env=local.variables(release, watch, TRUEBAND_LEDGER_URL=url),
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            process.terminate()  # as the kubelet does once the watch has ended
    assert process.returncode == 0, log.read_text()
    assert (looked.returncode, looked.stderr) == (3, ""), (looked.stdout, log.read_text())
    with Ledger(url) as ledger:
        (suspension,) = ledger.read(governance.suspensions, ())
    assert isinstance(suspension, Suspension)
    assert (suspension.scope.model, suspension.scope.band) == ("m", "auto")
    assert suspension.suspended_by == "trueband-watch"
    assert f"suspended by {suspension.suspension_id}" in " ".join(looked.stdout.split())


def test_without_the_sidecar_the_watch_says_what_it_lacks(local: Any, root: Path) -> None:
    """Whoever goes around the chart's check, with a policy in a ConfigMap of their own, hears it from the watch."""
    url = f"sqlite:///{local.folder / 'ledger.db'}"
    with Ledger(url) as ledger:
        broken_promise(ledger, POLICY)
    file = local.folder / "policy.yaml"
    file.write_text(POLICY)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRUEBAND_")}
    looked = subprocess.run(
        [sys.executable, "-m", "training", "watch"],
        env={**environment, "TRUEBAND_POLICY": str(file), "TRUEBAND_LEDGER_URL": url},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 2
    assert "on_breach: hold" in looked.stderr
    assert "--address" in looked.stderr
