"""Another policy, another calibrator: taken over by the running service, refused where they are bad."""

import os
import threading

from trueband.v1 import admin_pb2, decision_pb2

from calibrators import Platt
from sidecar.ledger import artifacts, queries
from tests.sidecar import stores

HOLD_ONLY = """
version: 1
models:
  leads:
    calibrator: file:{home}/leads.json
    evidence: score
    bands:
      - {{name: hold, from: 0.00, action: HOLD_FOR_REVIEW}}
"""
BAD = HOLD_ONLY.replace("from: 0.00", "from: 0.40")
TIMID = Platt(slope=0.5, intercept=-1.0, on="logit")


def test_a_policy_is_taken_over_and_a_bad_one_is_refused_while_the_old_one_decides(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    sidecar.start()
    first = sidecar.ask()
    assert first.may_act

    sidecar.write_policy(HOLD_ONLY)
    sidecar.until(lambda: sidecar.status().policy_digest != first.decision.policy_digest, "another policy")
    second = sidecar.ask()
    assert second.decision.action == decision_pb2.ACTION_HOLD_FOR_REVIEW
    assert second.decision.calibrator.digest == first.decision.calibrator.digest
    digest = second.decision.policy_digest
    assert digest == sidecar.status().policy_digest

    for bad in (BAD, "models: [", "version: 1"):
        sidecar.write_policy(bad)
        sidecar.until(lambda: sidecar.status().policy_last_error, "the refusal")
        assert sidecar.status().policy_digest == sidecar.ask().decision.policy_digest == digest
        sidecar.write_policy(HOLD_ONLY)
        sidecar.until(lambda: not sidecar.status().policy_last_error, "all is well again")
    sidecar.write_policy(BAD)
    sidecar.until(lambda: sidecar.status().policy_last_error, "the refusal")
    assert "models.leads.bands: " in sidecar.status().policy_last_error
    sidecar.policy.unlink()
    sidecar.until(lambda: "cannot be read" in sidecar.status().policy_last_error, "the file is gone")
    assert sidecar.ask().decision.policy_digest == digest
    assert sidecar.health() == "SERVING"

    # Whatever the file says by now, what decided on 3 March can be read back.
    sidecar.caught_up()
    for decision in (first.decision, second.decision):
        with sidecar.ledger() as ledger:
            loaded = ledger.read(artifacts.policy_of, decision.policy_digest)
            stored = ledger.read(queries.decision, decision.decision_id)
            assert loaded is not None
            assert stored is not None
            answer = stored.answers[0]
            then = stores.in_force(ledger, answer.provenance.sidecar_id, "policy", answer.decided_at)
            assert then is not None
            assert then.digest == decision.policy_digest


def test_the_swap_of_a_config_map_is_seen(make_sidecar) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    mount = sidecar.home / "config"
    for name, text in (("..2026_01", sidecar.policy.read_text()), ("..2026_02", None)):
        (mount / name).mkdir(parents=True)
        text = text or HOLD_ONLY.format(home=sidecar.home)
        (mount / name / "policy.yaml").write_text(text)
    (mount / "..data").symlink_to("..2026_01")
    (mount / "policy.yaml").symlink_to("..data/policy.yaml")
    sidecar.policy = mount / "policy.yaml"
    sidecar.start()
    assert sidecar.ask().may_act
    # As the kubelet does it: another link, renamed over the old one.
    (mount / "..data_tmp").symlink_to("..2026_02")
    os.replace(mount / "..data_tmp", mount / "..data")
    sidecar.until(lambda: not sidecar.ask().may_act, "the other policy")
    assert not sidecar.status().policy_last_error


def test_a_calibrator_is_taken_over_at_once_when_asked_and_a_bad_one_never(make_sidecar) -> None:
    sidecar = make_sidecar(TRUEBAND_POLL_INTERVAL="3600")
    first = sidecar.write_calibrator()
    sidecar.start()
    before = sidecar.ask()
    assert before.decision.calibrator.digest == first.digest
    assert before.decision.calibrated_confidence == before.decision.raw_confidence == 0.95

    second = sidecar.write_calibrator(TIMID)
    (slot,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest()).calibrators
    assert slot.calibrator.digest == second.digest
    after = sidecar.ask()
    assert after.decision.calibrator.digest == second.digest
    assert after.decision.calibrator.kind == "platt"
    assert after.decision.raw_confidence == 0.95
    assert after.decision.calibrated_confidence == second.apply_one(0.95)
    assert not after.may_act

    path = sidecar.home / "leads.json"
    good = path.read_text()
    other_model = sidecar.write_calibrator(model="pricing-model", name="other").applies_to
    assert other_model is not None
    cases = {
        "DOCUMENT_MALFORMED": good[:-20],
        "DIGEST_MISMATCH": good.replace("-1.0", "-0.5"),
        "EVIDENCE_MISMATCH": (sidecar.home / "other.json").read_text(),
        "DOCUMENT_TOO_LARGE": good + " " * (1 << 20),
    }
    for code, text in cases.items():
        path.write_text(text)
        (slot,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest(model="leads")).calibrators
        assert (slot.last_error_code, slot.calibrator.digest) == (code, second.digest), slot.last_error
        assert slot.last_error
        assert sidecar.ask().decision.calibrator.digest == second.digest
    path.write_text(good)
    (slot,) = sidecar.admin.ReloadNow(admin_pb2.ReloadNowRequest()).calibrators
    assert slot.last_error_code == ""


def test_no_answer_mixes_two_calibrators_while_they_are_swapped(make_sidecar) -> None:
    sidecar = make_sidecar(TRUEBAND_POLL_INTERVAL="0.01")
    first = sidecar.write_calibrator()
    sidecar.start()
    made = {first.digest: first}
    answers: list[decision_pb2.Decision] = []
    enough = threading.Event()

    def traffic() -> None:
        while not enough.is_set():
            answers.append(sidecar.ask(0.9).decision)

    threads = [threading.Thread(target=traffic) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        sidecar.until(lambda: answers, "traffic")
        for number in range(12):
            fresh = sidecar.write_calibrator(Platt(slope=1.0, intercept=-0.1 * number, on="logit"))
            made[fresh.digest] = fresh
            sidecar.until(lambda: answers[-1].calibrator.digest == fresh.digest, "the swap")  # noqa: B023
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    seen = {answer.calibrator.digest for answer in answers}
    assert seen == set(made)
    for answer in answers:
        expected = made[answer.calibrator.digest].apply_one(0.9)
        assert answer.calibrated_confidence == expected
        assert answer.may_act is (expected >= 0.7)
