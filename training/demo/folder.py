"""The demo's folder: made or emptied, with the policy, the principals and the keys that its sidecar runs with."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from training.errors import RequestRefused

MARKER = ".trueband-demo"
MADE = frozenset(
    {
        MARKER,
        *("calibrator-1.json", "holdout.npz", "mlflow", "policy.yaml", "principals.yaml", "sidecar"),
        *("reliability-calibrated.png", "reliability-retrained.png"),
    }
)
"""What a demo leaves; nothing else in its folder is emptied."""

PRINCIPALS: dict[str, tuple[str, list[str]]] = {
    "service": ("service", ["caller", "operator"]),
    "labeller": ("person", ["reviewer", "lead"]),
    "person": ("person", ["reviewer"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedFolder:
    """What was written, and what the sidecar and its callers need.

    Attributes:
        policy: the policy file.
        settings: environment variables of the sidecar.
        tokens: by name of the principal.
    """

    policy: Path
    settings: dict[str, str]
    tokens: dict[str, str]


def prepare(folder: Path, *, seed: int, policy: str) -> PreparedFolder:
    """Makes the folder, or empties one that an earlier demo made, and writes its files.

    Keys and tokens are derived from the seed, so that the same seed draws the same audits. Real ones come from
    a secret.

    Raises:
        RequestRefused: the folder holds something else, or cannot be made.
    """
    try:
        _empty(folder)
        folder.mkdir(parents=True)
        (folder / MARKER).touch()
    except OSError as error:
        raise RequestRefused(
            f"{folder} cannot be made: {error.strerror}; name another folder with --out"
        ) from error
    tokens = {name: _secret(name, seed) for name in PRINCIPALS}
    policy_file, principals_file = folder / "policy.yaml", folder / "principals.yaml"
    policy_file.write_text(policy, encoding="utf-8")
    principals_file.write_text(_principals(tokens), encoding="utf-8")
    # For the commands that draw again, such as `python -m sidecar audit --recompute --data-dir`.
    home = folder / "sidecar"
    home.mkdir()
    keys = home / "keys.json"
    keys.touch(mode=0o600)
    keys.write_text(
        json.dumps({"decision": _secret("decision", seed), "audit": {"demo": _secret("audit", seed)}}),
        encoding="utf-8",
    )
    settings = {
        "TRUEBAND_PRINCIPALS": str(principals_file),
        "TRUEBAND_DECISION_KEY": _secret("decision", seed),
        "TRUEBAND_AUDIT_KEYS": f"demo:{_secret('audit', seed)}",
    }
    return PreparedFolder(policy=policy_file, settings=settings, tokens=tokens)


def _empty(folder: Path) -> None:
    if not folder.exists():
        return
    own = folder.is_dir() and not folder.is_symlink()
    foreign = (
        sorted(each.name for each in folder.iterdir() if each.name not in MADE) if own else [folder.name]
    )
    if own and not foreign and any(folder.iterdir()) and not (folder / MARKER).exists():
        foreign = sorted(each.name for each in folder.iterdir())
    if foreign:
        raise RequestRefused(
            f"{folder} holds {foreign[0]}, which no demo made: move it, or name another folder with --out"
        )
    shutil.rmtree(folder)


def _principals(tokens: dict[str, str]) -> str:
    entries = [
        {
            "name": f"demo-{name}",
            "kind": kind,
            "roles": roles,
            "token_sha256": hashlib.sha256(tokens[name].encode()).hexdigest(),
        }
        for name, (kind, roles) in PRINCIPALS.items()
    ]
    return json.dumps({"principals": entries}, indent=2)


def _secret(name: str, seed: int) -> str:
    return hashlib.sha256(f"trueband demo {name} {seed}".encode()).hexdigest()
