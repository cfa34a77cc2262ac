"""The one place that reads what stands behind a digest: policies, floors and calibrators, kept for ever.

A policy's and a floors file's digest is that of the stored text, a calibrator's that of its document. It is never
made of what a text is read as now: a newer version fills in more defaults, and what decisions name stays.
"""

import sqlalchemy as sa

import calibrators
from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from sidecar.ledger import schema
from sidecar.policy import floors_file, loading
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy


def text_of(connection: sa.Connection, digest: str) -> str | None:
    """The text that is stored behind a digest; None where the ledger does not have it."""
    table = schema.artifacts.c
    return connection.execute(sa.select(table.body).where(table.digest == digest)).scalar_one_or_none()


def policy_of(connection: sa.Connection, digest: str) -> LoadedPolicy | None:
    """The policy of a digest; None where the ledger does not have it.

    Raises:
        errors.PolicyRefused: the stored text has another digest, or this version cannot read it.
    """
    text = text_of(connection, digest)
    return None if text is None else loading.stored(text, digest)


def floors_of(connection: sa.Connection, digest: str) -> LoadedFloors | None:
    """The floors of a digest; None where the ledger does not have them.

    Raises:
        errors.FloorsRefused: the stored text has another digest, or this version cannot read it.
    """
    text = text_of(connection, digest)
    return None if text is None else floors_file.stored(text, digest)


def calibrator_of(connection: sa.Connection, digest: str) -> Calibrator | None:
    """The calibrator of a digest; None where the ledger does not have it.

    Raises:
        CalibratorRefused: the stored document is of another digest, or this version cannot read it.
    """
    text = text_of(connection, digest)
    if text is None:
        return None
    calibrator = calibrators.loads(text)
    if calibrator.digest != digest:
        raise CalibratorRefused(
            f"the stored calibrator has digest {calibrator.digest}, and is kept as {digest}",
            code="DIGEST_MISMATCH",
        )
    return calibrator


def calibrator_digests(connection: sa.Connection, prefix: str) -> list[str]:
    """The digests of calibrators that begin so, with or without `sha256:`, in order."""
    wanted = f"sha256:{prefix.lower().removeprefix('sha256:')}"
    table = schema.artifacts.c
    rows = connection.execute(
        sa.select(table.digest)
        .where(table.kind == "calibrator", table.digest.startswith(wanted, autoescape=True))
        .order_by(table.digest)
    )
    return list(rows.scalars())
