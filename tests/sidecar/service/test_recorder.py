"""What must stand in the journal before anything that refers to it."""

import pytest

from sidecar import errors
from sidecar.decision.records import Artifact, InForce, decode
from sidecar.journal.journal import Journal
from sidecar.service.recorder import Preface

FIRST = [
    Artifact(digest="sha256:p", kind="policy", body="{}"),
    InForce(sidecar_id="s", slot="policy", digest="sha256:p", since=1.0),
]
LATER = InForce(sidecar_id="s", slot="calibrator:m", digest="sha256:c", since=2.0)


def kept(journal: Journal):
    return [decode(entry.body) for entry in journal.read(journal.start, 100)[0]]


class Full:
    """A journal without room, until it has some again."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.full = True
        self.durable: list[bool] = []

    def append(self, records, *, durable: bool) -> None:
        if self.full:
            raise errors.JournalUnavailable("no room")
        self.durable.append(durable)
        self.journal.append(records, durable=durable)


def test_with_room_it_goes_in_at_once_and_once(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        preface = Preface(journal, FIRST)
        preface.flush()
        preface.flush()
        preface.append([LATER], durable=False)
        assert kept(journal) == [*FIRST, LATER]


def test_without_room_nothing_goes_in_before_it(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        full = Full(journal)
        preface = Preface(full, FIRST)
        preface.flush()  # says nothing: the service starts all the same
        with pytest.raises(errors.JournalUnavailable, match="no room"):
            preface.append([LATER], durable=False)
        assert kept(journal) == []
        full.full = False
        preface.append([LATER], durable=False)
        preface.append([LATER], durable=False)
        assert kept(journal) == [*FIRST, LATER, LATER]
        assert full.durable == [True, False], (
            "what later records refer to is on the disk with the first of them"
        )
