"""The store of decisions, labels and review tasks."""

from pathlib import Path


def url_in(data_dir: Path) -> str:
    """The URL of the SQLite ledger in a sidecar's data directory."""
    return f"sqlite:///{data_dir.absolute() / 'ledger.db'}"
