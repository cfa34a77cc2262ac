"""`serve`: runs the service."""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from sidecar.service import settings, telemetry

_log = logging.getLogger(__name__)


def add_parser(subparsers: Any) -> None:
    """Declares the command. A flag that is left out comes from the environment."""
    parser = subparsers.add_parser(
        "serve",
        help="run the service",
        description="Runs the service. Every setting can also be given as an environment variable; flags win.",
        epilog="settings from the environment:\n" + _environment(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the policy file")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="the floors file (default: none)")
    parser.add_argument(
        "--listen", metavar="ADDRESS", help="HOST:PORT on loopback, or unix:PATH (default 127.0.0.1:50051)"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="journal, cache and ledger (default ./trueband-data)"
    )
    parser.add_argument(
        "--health-listen", metavar="ADDRESS", help="a second, plaintext address with health only"
    )
    parser.add_argument("--metrics-listen", metavar="ADDRESS", help="HOST:PORT of the Prometheus metrics")
    parser.add_argument(
        "--ledger-url", metavar="URL", help="SQLAlchemy URL of the ledger (default: SQLite in DIR)"
    )
    parser.add_argument(
        "--poll-interval", type=float, metavar="SECONDS", help="between looks at the registry (default 10)"
    )
    parser.add_argument(
        "--principals", type=Path, metavar="FILE", help="who may call what (default: everybody, anonymously)"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default info")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM."""
    names = (
        "policy",
        "floors",
        "listen",
        "data_dir",
        "health_listen",
        "metrics_listen",
        "ledger_url",
        "poll_interval",
        "principals",
        "log_level",
    )
    read = settings.read({name: getattr(arguments, name) for name in names})
    telemetry.configure_logging(read.log_level)
    for name, meant in settings.misspelt(os.environ).items():
        _log.warning("setting_unknown", extra={"fields": {"variable": name, "did_you_mean": meant}})
    from sidecar.service import server  # the other commands need not wait for grpc and the ledger to load

    server.serve(read)
    return 0


def _environment() -> str:
    lines = []
    for name, field in settings.Settings.model_fields.items():
        lines.append(f"  TRUEBAND_{name.upper():28}{field.description}")
    lines.append("  MLFLOW_TRACKING_URI and MLflow's other variables say where the registry is.")
    return "\n".join(lines)
