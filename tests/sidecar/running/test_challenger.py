"""A real registry beside a running sidecar: the challenger's shadow, a shift that waits, and who did what."""

import json
import subprocess
import sys

import pytest

from calibrators import Platt
from sidecar.ledger import artifacts, governance, shadow
from tests.sidecar import stores

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/shadowed@champion
    evidence: score
    admission: {{recent: 40}}
"""
TIMID = Platt(slope=1.0, intercept=-1.5, on="logit")  # 0.95 -> 0.81, 0.75 -> 0.40


@pytest.fixture
def client(mlflow_registry: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_registry, registry_uri=mlflow_registry)


def history(sidecar, *flags: str) -> str:
    """What `python -m sidecar history` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "history", "--data-dir", str(sidecar.data_dir), *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_challenger_from_shadow_to_promotion_and_back(
    make_sidecar, mlflow_registry: str, client, register_version
) -> None:
    from training import registry

    sidecar = make_sidecar(POLICY, MLFLOW_TRACKING_URI=mlflow_registry, MLFLOW_HTTP_REQUEST_TIMEOUT="30")
    first = sidecar.write_calibrator()
    second = sidecar.write_calibrator(TIMID)
    register_version("shadowed", first)
    register_version("shadowed", second)
    sidecar.start()
    sidecar.until(lambda: sidecar.status().calibrators[0].last_error_code == "ALIAS_UNKNOWN", "no champion")
    assert [(each.last_error, each.HasField("calibrator")) for each in sidecar.status().challengers] == [
        ("", False)
    ]
    registry.promote("shadowed", "1", by="ada", reason="first")
    sidecar.until(lambda: sidecar.status().calibrators[0].HasField("calibrator"), "the champion")

    # A challenger is evaluated, and decides nothing.
    client.set_registered_model_alias("shadowed", "challenger", "2")
    sidecar.until(lambda: sidecar.status().challengers[0].HasField("calibrator"), "the challenger")
    assert sidecar.status().challengers[0].calibrator.digest == second.digest
    for score in (0.95, 0.95, 0.75) * 20:
        answer = sidecar.ask(score)
        assert answer.decision.calibrator.digest == first.digest
        assert answer.decision.calibrated_confidence == score
        assert answer.may_act

    # Promoted, it would act on a third less: the sidecar keeps what it has until a person says so.
    registry.promote("shadowed", "2", by="ada", reason="better")
    slot = lambda: sidecar.status().calibrators[0]  # noqa: E731
    sidecar.until(lambda: slot().last_error_code == "CALIBRATOR_SHIFTS_ROUTING", "the refusal")
    assert "of the last 40 inputs" in slot().last_error
    assert sidecar.ask().decision.calibrator.digest == first.digest
    client.set_model_version_tag("shadowed", "2", "trueband.approved", '{"by": "grace"}')
    sidecar.until(lambda: slot().calibrator.digest == second.digest, "the approved version")
    assert slot().last_error == ""

    sidecar.write_policy(POLICY + "label_window: 10d\n")
    policy_before = sidecar.status().policy_digest
    sidecar.until(lambda: sidecar.status().policy_digest != policy_before, "another policy")

    # A rollback need not be approved: what was revoked goes.
    registry.rollback("shadowed", by="grace", reason="worse")
    sidecar.until(lambda: slot().calibrator.digest == first.digest, "the rollback")
    sidecar.until(
        lambda: any(each["kind"] == "REVOKED" for each in sidecar.events("governance")), "the revocation"
    )
    assert sidecar.stop() == 0

    with sidecar.ledger() as ledger:
        told = [
            (each.kind, each.subject, each.from_, each.to, each.by)
            for each in ledger.read(governance.changes)
            if not each.subject.endswith("@challenger")
        ]
        counts = {(each.band, each.shadow_band): each.n for each in ledger.read(shadow.counts, "leads")}
        challenger = ledger.read(artifacts.calibrator_of, second.digest)
        beside = stores.in_force(
            ledger,
            sidecar.events("listening")[0]["sidecar_id"],
            "challenger:leads",
            answer.decision.decided_at.ToNanoseconds() / 1e9,
        )
    by_sidecar = f"sidecar {sidecar.events('listening')[0]['sidecar_id']}"
    assert set(told) >= {
        ("PROMOTED", "shadowed@champion", "", "1", "ada"),
        ("PROMOTED", "shadowed@champion", "1", "2", "ada"),
        ("ADMISSION_REFUSED", "shadowed", "1", "2", by_sidecar),
        ("POLICY_CHANGED", "policy", policy_before, sidecar_policy(told), "unknown"),
        ("ROLLED_BACK", "shadowed@champion", "2", "1", "grace"),
        ("REVOKED", "shadowed", "", "2", "grace"),
    }
    assert len(told) == len(set(told))
    assert challenger is not None
    assert beside is not None
    assert (beside.digest, beside.version) == (second.digest, "2")
    assert counts[("auto", "flagged")] >= 40
    assert counts[("flagged", "reject")] == 20

    text = history(sidecar)
    assert "PROMOTED           shadowed@champion  1 -> 2  by ada" in text
    assert "answers in the same band" in text
    assert "auto -> flagged:" in text
    whole = json.loads(history(sidecar, "--json", "--since", "1d"))
    assert [each["type"] for each in whole["events"]] == ["governance"] * len(whole["events"])
    assert sum(each["n"] for each in whole["shadow"]) == sum(counts.values())

    judged = len(sidecar.events("calibrator_judged"))
    # Nothing changed meanwhile: a restart from the cache is not judged again, and tells nothing again.
    with sidecar.ledger() as ledger:
        before = ledger.read(governance.changes)
    sidecar.start()
    sidecar.until(lambda: not sidecar.status().calibrators[0].from_cache, "the confirmation")
    assert sidecar.stop() == 0
    with sidecar.ledger() as ledger:
        assert ledger.read(governance.changes) == before
        assert sum(each.n for each in ledger.read(shadow.counts)) == sum(counts.values())
    assert len(sidecar.events("calibrator_judged")) == judged


def sidecar_policy(told: list[tuple[str, ...]]) -> str:
    """The digest of the policy that came."""
    [found] = [to for kind, _, _, to, _ in told if kind == "POLICY_CHANGED"]
    return found
