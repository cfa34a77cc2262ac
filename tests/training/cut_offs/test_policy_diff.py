"""The diff of a policy: only the bands change, and patch takes it."""

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import errors as sidecar_errors
from sidecar.policy import loading
from training import errors
from training.cut_offs import policy_diff
from training.cut_offs.policy_diff import NewBand

NEW = {
    "auto": NewBand(edge=Decimal("0.9437"), promise=(Decimal("0.90"), Decimal("0.95"))),
    "hold": NewBand(edge=Decimal("0.41")),
    "reject": NewBand(edge=Decimal("0.00")),
}
LINES = """\
# Who may change this: the policy owners.
version: 1
models:
  other: {calibrator: "file:x.json", evidence: score}
  leads:
    calibrator: models:/leads@champion   # theirs
    evidence: score
    # Four bands.
    bands:
      # The top one.
      - {name: auto,    from: 0.90, action: AUTO_ROUTE,         audit_rate: 0.05}  # acts
      - {name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED, review: next_day}  # acts, too
      # A person looks.
      - {name: hold,    from: 0.50, action: HOLD_FOR_REVIEW}
      - {name: reject,  from: 0.00, action: REJECT,             audit_rate: 0.05}
    # The rest.
    criterion: correct
"""
BLOCK = """\
version: 1
models:
  leads:
    calibrator: models:/leads@champion
    evidence: score
    bands:
    - name: auto
      from: 0.90
      action: AUTO_ROUTE
      promise:
        accuracy: 0.95
        by: 2027-01-01
      # between
    - name: flagged
      from: 0.7
      action: AUTO_ROUTE_FLAGGED   # gone

    - action: HOLD_FOR_REVIEW
      name: hold
      from: .5
    - {name: reject, from: 0, action: REJECT}
"""
FLOW = """\
version: 1
models:
  leads: {calibrator: "file:x", evidence: score, bands: [{name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED},
    {name: auto, from: 0.9, action: AUTO_ROUTE, promise: {accuracy: 0.8}}, {name: hold, from: 0.5,
    action: HOLD_FOR_REVIEW}, {name: reject, from: 0.0, action: REJECT}]}
"""
OWN_LINES = """\
version: 1
models:
  leads:
    calibrator: file:x
    evidence: score
    bands: [
      {name: auto, from: 0.9, action: AUTO_ROUTE},  # top
      {name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED},  # gone
      {name: hold, from: 0.5, action: HOLD_FOR_REVIEW},  # held
      {name: reject, from: 0.0, action: REJECT},  # bottom
    ]
"""
DEFAULTS = "version: 1\nmodels:\n  leads:\n    # first\n    calibrator: file:x\n    evidence: score\n"
DEFAULTS_IN_FLOW = "version: 1\nmodels:\n  leads: {calibrator: file:x, evidence: score}\n"
JSON = '{"version": 1, "models": {"leads": {"calibrator": "file:x", "evidence": "score"}}}'
EVERY = {
    "lines": LINES,
    "block": BLOCK,
    "flow": FLOW,
    "own lines": OWN_LINES,
    "defaults": DEFAULTS,
    "defaults in flow": DEFAULTS_IN_FLOW,
    "json": JSON,
    "no end of line": LINES.rstrip("\n"),
    "carriage returns": LINES.replace("\n", "\r\n"),
}


def rewrite(text: str, comment: tuple[str, ...] = ("why",)) -> str:
    return policy_diff.rewrite(text, "leads", NEW, comment, name="policy.yaml")


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY.keys())
def test_the_result_is_a_policy_that_differs_in_its_bands_alone(text: str) -> None:
    before, after = loading.parse(text).policy, loading.parse(rewrite(text)).policy
    bands = {band.name: band for band in after.models["leads"].bands}
    assert {name: band.from_ for name, band in bands.items()} == {
        "auto": Decimal("0.9437"),
        "hold": Decimal("0.41"),
        "reject": Decimal(0),
    }
    promise = bands["auto"].promise
    assert promise is not None
    assert (promise.accuracy, promise.confidence) == (Decimal("0.9"), Decimal("0.95"))
    old = {band.name: band for band in before.models["leads"].bands}
    for name, band in bands.items():
        assert band.action is old[name].action
        assert band.audit_rate == old[name].audit_rate
    left, right = (policy.model_dump() for policy in (before, after))
    del left["models"]["leads"]["bands"], right["models"]["leads"]["bands"]
    assert left == right


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY.keys())
@pytest.mark.parametrize("tool", ["patch", "git"])
def test_patch_and_git_take_the_diff(text: str, tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    after = rewrite(text)
    target = tmp_path / "conf" / "policy.yaml"
    target.parent.mkdir()
    target.write_bytes(text.encode())
    diff = policy_diff.diff(text, after, name="conf/policy.yaml")
    command = ["patch", "--binary", "-p1"] if tool == "patch" else ["git", "apply", "-"]
    subprocess.run(command, input=diff.encode(), cwd=tmp_path, check=True, capture_output=True)
    assert target.read_bytes() == after.encode()


def test_comments_and_order_stay() -> None:
    after = rewrite(LINES)
    kept = [line for line in LINES.splitlines() if "flagged" not in line and "0.90" not in line]
    kept = [line.replace("0.50", "0.41") for line in kept]
    assert [line for line in after.splitlines() if line in kept] == kept
    assert "    # training bands: why\n    bands:\n" in after
    assert "promise: {accuracy: 0.90, confidence: 0.95}}  # acts\n" in after


def test_an_item_goes_with_its_lines_and_no_other() -> None:
    assert "gone" not in rewrite(BLOCK)
    assert "      # between\n" in rewrite(BLOCK)
    assert "        by: 2027-01-01\n" in rewrite(BLOCK)
    own = rewrite(OWN_LINES)
    assert "gone" not in own
    assert all(f"# {word}\n" in own for word in ("top", "held", "bottom"))


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY.keys())
def test_the_next_proposal_replaces_the_comment(text: str) -> None:
    again = rewrite(rewrite(text, ("one", "two")), ("three",))
    assert again.count("# training bands: ") == 1
    assert rewrite(again, ("three",)) == again


def test_the_same_text_has_no_diff() -> None:
    assert policy_diff.diff(LINES, LINES, name="policy.yaml") == ""


def test_an_absolute_path_becomes_a_name() -> None:
    diff = policy_diff.diff("a\n", "b\n", name="/etc/trueband/policy.yaml")
    assert diff.startswith("--- a/policy.yaml\n+++ b/policy.yaml\n")


def test_bands_that_another_model_shares_are_not_touched() -> None:
    text = LINES.replace(
        "evidence: score}", "evidence: score, bands: &b [{name: a, from: 0, action: REJECT}]}"
    )
    head, _, tail = text.partition("    bands:\n")
    shared = f"{head}    bands: *b\n    criterion: correct\n"
    assert tail
    new = {"a": NewBand(edge=Decimal("0.00"), promise=None)}
    assert "training bands" in policy_diff.rewrite(shared, "leads", new, ["x"], name="p")
    with pytest.raises(errors.RequestRefused, match="written in a way that cannot be edited alone"):
        policy_diff.rewrite(
            shared.replace("[{name: a", "[{name: z, from: 0.5, action: HOLD_FOR_REVIEW}, {name: a"),
            "leads",
            new | {"z": NewBand(edge=Decimal("0.40"))},
            ["x"],
            name="p",
        )


def test_a_result_that_the_service_would_refuse_is_refused() -> None:
    step = "{step: rules, bands: [hold], rules: [{name: r, when: 'true', answer: a}]}"
    text = LINES.replace("criterion: correct", f"fallback: [{step}]")
    assert "fallback" in rewrite(text)
    new = {name: change for name, change in NEW.items() if name != "hold"}
    with pytest.raises(errors.RequestRefused, match=r"(?s)change it by hand first.*names band 'hold'"):
        policy_diff.rewrite(text, "leads", new, [], name="policy.yaml")


def test_what_is_no_policy_is_refused_as_such() -> None:
    with pytest.raises(sidecar_errors.PolicyRefused, match=r"policy\.yaml"):
        rewrite("version: 2")


def test_a_model_that_the_policy_does_not_have() -> None:
    with pytest.raises(errors.RequestRefused, match="no model 'other'"):
        policy_diff.rewrite(DEFAULTS, "other", NEW, [], name="p")


@given(edge=st.decimals("0.05", "0.99", places=4), place=st.sampled_from([LINES, BLOCK, FLOW, DEFAULTS]))
def test_any_edge_comes_through(edge: Decimal, place: str) -> None:
    new = {"auto": NewBand(edge=edge), "reject": NewBand(edge=Decimal("0.00"))}
    after = loading.parse(policy_diff.rewrite(place, "leads", new, [], name="p")).policy
    assert [band.from_ for band in after.models["leads"].bands] == [edge, 0]
