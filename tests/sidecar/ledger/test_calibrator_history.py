"""Where each calibrator came after which."""

from pathlib import Path

from sidecar.decision.records import InForce
from sidecar.ledger import intake, queries
from sidecar.ledger.store import Ledger


def in_force(sidecar: str, slot: str, digest: str, since: float) -> InForce:
    return InForce(sidecar_id=sidecar, slot=slot, digest=digest, name="n", version="3", since=since)


def test_slots_tell_all_that_was_in_force_there_on_any_sidecar_oldest_first(tmp_path: Path) -> None:
    made = [
        in_force("s2", "calibrator:m", "sha256:a", 30.0),
        in_force("s1", "calibrator:m", "sha256:a", 10.0),
        in_force("s1", "calibrator:m", "sha256:b", 20.0),
        in_force("s1", "calibrator:m", "", 40.0),
        in_force("s1", "calibrator:m:secondary", "sha256:c", 5.0),
        in_force("s1", "challenger:m", "sha256:b", 1.0),
    ]
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        ledger.migrate()
        for each in made:
            ledger.write(intake.take_in, [each])
        assert ledger.read(queries.calibrator_slots, "sha256:b") == {
            "calibrator:m": (made[1], made[2], made[0], made[3])
        }
        assert ledger.read(queries.calibrator_slots, "sha256:c") == {"calibrator:m:secondary": (made[4],)}
        assert ledger.read(queries.calibrator_slots, "sha256:unheard") == {}
