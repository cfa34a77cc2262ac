"""`history`: what a person reads, and what a program does."""

import json
from pathlib import Path

import pytest

from sidecar import cli
from sidecar.decision.records import Governance, ShadowCounts, ShadowPair
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.ledger import intake
from sidecar.ledger.store import Ledger

OLD = 1_600_000_000.0  # 2020-09-13 12:26:40 UTC
DIGESTS = {"from_": "sha256:" + "a" * 64, "to": "sha256:" + "b" * 64}


def event(number: int, **changes: object) -> Governance:
    fields: dict[str, object] = {
        "event_id": f"e{number}",
        "kind": "PROMOTED",
        "subject": "cal@champion",
        "from_": "1",
        "to": "2",
        "by": "ada",
        "reason": "better\non every band",
        "evidence": "run-7",
        "happened_at": OLD + number,
        "seen_at": OLD + number,
        "sidecar_id": "s",
    }
    return Governance(**(fields | changes))  # type: ignore[arg-type]


RECORDS = [
    event(1),
    event(2, kind="POLICY_CHANGED", subject="policy", by="unknown", reason="", evidence="", **DIGESTS),
    event(3, kind="REVOKED", subject="cal", from_="", to="2", by="\x1b[31mmallory", reason="x\u202ey"),
    event(4, kind="MOVED_BY_HAND", from_="2", to="", by="unknown", reason="", evidence=""),
    Suspension(
        suspension_id="0" * 32,
        scope=Scope(model="leads", band="auto"),
        explanation="odd",
        suspended_by="grace",
        suspended_at=OLD + 5,
        sidecar_id="s",
    ),
    Resumption(
        suspension_id="0" * 32, explanation="mended", resumed_by="ada", resumed_at=OLD + 6, sidecar_id="s"
    ),
    ShadowCounts(
        run_id="r",
        sidecar_id="s",
        day=int(OLD // 86400),
        model="leads",
        champion=DIGESTS["from_"],
        challenger=DIGESTS["to"],
        pairs=(
            ShadowPair(band="auto", shadow_band="auto", n=900),
            ShadowPair(band="auto", shadow_band="", n=25),
            ShadowPair(band="flagged", shadow_band="auto", n=75),
        ),
    ),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
        ledger.write(intake.take_in, RECORDS)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], home: Path, *flags: str) -> str:
    assert cli.main(["history", "--data-dir", str(home), *flags]) == 0
    return capsys.readouterr().out


def test_a_person_reads_it_line_by_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, home)
    assert text.splitlines() == [
        "2020-09-13 12:26:41 UTC  PROMOTED           cal@champion  1 -> 2  by ada, evidence run-7",
        "                         better on every band",
        "2020-09-13 12:26:42 UTC  POLICY_CHANGED     policy  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb  by unknown",
        "2020-09-13 12:26:43 UTC  REVOKED            cal  version 2  by �[31mmallory, evidence run-7",
        "                         x�y",
        "2020-09-13 12:26:44 UTC  MOVED_BY_HAND      cal@champion  2 -> nothing  by unknown",
        "2020-09-13 12:26:45 UTC  SUSPENDED          model leads, band auto  by grace",
        "                         odd",
        f"2020-09-13 12:26:46 UTC  RESUMED            {'0' * 32}  by ada",
        "                         mended",
        (
            "shadow of leads: challenger sha256:bbbbbbbbbbbb beside champion sha256:aaaaaaaaaaaa: 900 of 1,000 answers "
            "in the same band (90.0%)"
        ),
        "  flagged -> auto: 75",
        "  auto -> no band: 25",
    ]


def test_a_program_reads_all_of_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(printed(capsys, home, "--json"))
    assert [each["type"] for each in whole["events"]] == ["governance"] * 4 + ["suspended", "resumed"]
    assert whole["events"][0] == {
        "type": "governance",
        "event_id": "e1",
        "kind": "PROMOTED",
        "subject": "cal@champion",
        "from": "1",
        "to": "2",
        "by": "ada",
        "reason": "better\non every band",
        "evidence": "run-7",
        "happened_at": OLD + 1,
        "seen_at": OLD + 1,
        "sidecar_id": "s",
    }
    assert whole["shadow"][0]["day"] == "2020-09-13"
    assert sum(each["n"] for each in whole["shadow"]) == 1000


def test_what_is_too_long_ago_is_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, home, "--since", "30m") == "nothing has changed, as far as the ledger knows\n"
    assert "PROMOTED" in printed(capsys, home, "--since", "36500d")
    assert "PROMOTED" in printed(capsys, home, "--since", "1970-01-02")


def test_what_is_no_time_is_refused_with_what_to_write(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        printed(capsys, home, "--since", "soon")
    assert end.value.code == 2
    assert "argument --since: 'soon' is neither so long ago, such as 30d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--data-dir", "/nowhere"], "LEDGER_UNAVAILABLE", "there is no ledger"),
    ],
)
def test_mistakes_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], flags: list[str], code: str, says: str
) -> None:
    assert cli.main(["history", "--data-dir", str(home), *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error [{code}]")
    assert says in said
    assert said.count("\n") == 1
