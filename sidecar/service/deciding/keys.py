"""The secret keys of a deployment: one that makes decision ids, and the ones that draw audits."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from sidecar import durable_file, errors

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """`decision` never rotates: a retry must find its decision. `audit` maps ids, the current one last."""

    decision: bytes
    audit: tuple[tuple[str, bytes], ...]

    @property
    def current_audit(self) -> tuple[str, bytes]:
        """Id and bytes of the key that draws now."""
        return self.audit[-1]

    def __repr__(self) -> str:
        return f"Keys(audit ids: {', '.join(name for name, _ in self.audit)})"


def load(decision_key: str, audit_keys: str, data_dir: Path) -> Keys:
    """The keys from the settings, and for what they leave out, from `keys.json` in the data directory.

    The file is made, readable by its owner only, when it is first needed. Sidecars that serve the same models
    should be given the same keys by the settings: then a retry on another one is the same decision.

    Args:
        decision_key: 64 hexadecimal digits, or empty.
        audit_keys: `ID:HEX[,ID:HEX...]`, the current one last, or empty.
        data_dir: an existing directory.

    Raises:
        errors.SettingsRefused: a key is malformed, or the file is.
    """
    stored: tuple[str, dict[str, str]] = ("", {})
    if not (decision_key and audit_keys):
        stored = _stored(data_dir / "keys.json")
    decision_text = decision_key or stored[0]
    audit = _audit(audit_keys or _joined(stored[1]))
    return Keys(_bytes(decision_text, "TRUEBAND_DECISION_KEY"), audit)


def known_audit(audit_keys: str, data_dir: Path) -> dict[str, bytes]:
    """The audit keys by id, as `load` finds them; none where there are none, since nothing is made here.

    Raises:
        errors.SettingsRefused: a key is malformed, or the file is.
    """
    if not audit_keys and not (data_dir / "keys.json").exists():
        return {}
    return dict(_audit(audit_keys or _joined(_stored(data_dir / "keys.json")[1])))


def _joined(stored: dict[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in stored.items())


def _audit(text: str) -> tuple[tuple[str, bytes], ...]:
    audit = []
    for item in text.split(","):
        name, separator, value = item.strip().partition(":")
        if not separator or not name:
            raise errors.SettingsRefused(
                "TRUEBAND_AUDIT_KEYS: write ID:HEX[,ID:HEX...], the current key last"
            )
        audit.append((name, _bytes(value, f"TRUEBAND_AUDIT_KEYS ({name})")))
    if len({name for name, _ in audit}) != len(audit):
        raise errors.SettingsRefused("TRUEBAND_AUDIT_KEYS: a key id stands twice; ids are kept for ever")
    return tuple(audit)


def _stored(path: Path) -> tuple[str, dict[str, str]]:
    """The decision key and the audit keys by id, as the file has them."""
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise errors.SettingsRefused(f"{path}: cannot be made: {error.strerror}") from error
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["decision"], str) and isinstance(content["audit"], dict) and content["audit"]:
            return content["decision"], content["audit"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise errors.SettingsRefused(
        f"{path}: not a key file; restore it, or set TRUEBAND_DECISION_KEY and TRUEBAND_AUDIT_KEYS"
    )


def _make(path: Path) -> None:
    fresh = {"decision": secrets.token_hex(KEY_BYTES), "audit": {"k1": secrets.token_hex(KEY_BYTES)}}
    # Of two processes that start at once, one makes the keys and the other reads them.
    durable_file.create(path, json.dumps(fresh).encode())


def _bytes(text: str, name: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != KEY_BYTES:
        raise errors.SettingsRefused(
            f"{name}: must be {2 * KEY_BYTES} hexadecimal digits (openssl rand -hex 32)"
        )
    return value
