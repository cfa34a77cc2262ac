"""A PostgreSQL server of the tests' own: made in a temporary folder, reached through a Unix socket, then gone."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

VARIABLE = "TRUEBAND_TEST_POSTGRESQL"
"""A SQLAlchemy URL of a database that may make and drop others, such as postgresql+psycopg://me@127.0.0.1/postgres"""

BINARIES = Path("/usr/lib/postgresql")
"""Where Debian's packages put each version's programs, which are on no path."""

SETTINGS = (
    *("listen_addresses=''", "max_connections=200"),
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"),
)
"""Of a server that nobody will start again: it may forget."""


def _programs() -> Path | None:
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as where we are root, since it refuses to be root; None: whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("a PostgreSQL server does not run as root, and here is nobody else")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server's first database: of the one that is named, else of one that is started here.

    Skips the test, saying why, where neither can be.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed: no PostgreSQL")
    if named := os.environ.get(VARIABLE):
        yield named
        return
    programs = _programs()
    if programs is None:
        pytest.skip(f"no PostgreSQL: set {VARIABLE} to a server's URL, or install Debian's `postgresql`")
    owner = _owner()
    identity = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    # Not pytest's folder, which is ours alone; and the path of a Unix socket has room for some hundred characters.
    home = Path(tempfile.mkdtemp(prefix="tb-pg-"))
    data = home / "data"

    def call(program: str, *arguments: str | Path) -> None:
        # To a file, since the server inherits where its starter writes, and a pipe would wait for it.
        with (home / "log").open("ab") as log:
            done = subprocess.run(
                [programs / program, "--pgdata", data, *arguments],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                **identity,  # type: ignore[call-overload]
            )
        assert done.returncode == 0, (home / "log").read_text(errors="replace")

    try:
        if owner is not None:
            os.chown(home, owner.pw_uid, owner.pw_gid)
        call(
            "initdb",
            *("--username", "trueband", "--auth", "trust", "--encoding", "UTF8"),
            "--no-locale",
            "--no-sync",
        )
        options = " ".join(f"-c {setting}" for setting in (f"unix_socket_directories={home}", *SETTINGS))
        call("pg_ctl", "start", "--wait", "--options", options)
        try:
            yield f"postgresql+psycopg://trueband@/postgres?host={home}"
        finally:
            call("pg_ctl", "stop", "--mode", "immediate")  # nothing is worth keeping
    finally:
        shutil.rmtree(home)


@contextlib.contextmanager
def empty_database(url: str) -> Iterator[str]:
    """The URL of a new database of the server, which is dropped at the end."""
    name = f"trueband_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
