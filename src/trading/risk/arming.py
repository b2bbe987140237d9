"""The second gate: a signed file that says which approved strategy may trade live, and until when.

`go_live.py` writes it after two phrases and a one-time code. It names the spec and the evidence that were approved; a
changed spec, a changed signature or a retired strategy void it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass

from pydantic import SecretBytes

from trading.domain.clock import iso
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.approval import load_key, verify
from trading.strategy.spec import StrategySpec, spec_sha256

ARMED_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Armed:
    """What the human armed."""

    strategy_id: str
    spec_sha256: str
    operator: str
    at: str
    """ISO 8601, UTC."""


def approval_key(home: Home, *, create: bool) -> SecretBytes:
    """The local key that signs approvals and arming.

    Raises:
        StateFileError: missing (unless `create`), readable by others, or not a key.
    """
    return load_key(home.state / "approval.key", create=create)


def write_armed(home: Home, spec: StrategySpec, *, operator: str, at_ms: int) -> None:
    """Arm one approved strategy, replacing whatever was armed.

    Raises:
        StateFileError: the key or the file cannot be used.
    """
    armed = Armed(spec.id, spec_sha256(spec), operator, iso(at_ms))
    signature = _signature(approval_key(home, create=False), armed)
    facts = {
        "strategy_id": armed.strategy_id,
        "spec_sha256": armed.spec_sha256,
        "operator": operator,
        "at": armed.at,
        "signature": signature,
    }
    write_json(home.armed_file, facts, schema=ARMED_SCHEMA)


def read_armed(home: Home, spec: StrategySpec) -> Decision:
    """Whether this strategy may trade live: armed, signed for exactly this spec, and its approval still stands."""
    try:
        data = read_json(home.armed_file, schema=ARMED_SCHEMA)
        if data is None:
            return _no(Reason.NOT_ARMED, f"{spec.id} is approved but not armed: python go_live.py")
        key = approval_key(home, create=False)
    except StateFileError as error:
        return _no(Reason.NOT_ARMED, str(error))
    armed = Armed(*(str(data.get(name)) for name in ("strategy_id", "spec_sha256", "operator", "at")))
    if not hmac.compare_digest(_signature(key, armed).encode(), str(data.get("signature")).encode()):
        return _no(Reason.APPROVAL_VOID, f"{home.armed_file.name}: the signature does not fit; arm it anew")
    if armed.strategy_id != spec.id or armed.spec_sha256 != spec_sha256(spec):
        return _no(Reason.APPROVAL_VOID, f"{armed.strategy_id} was armed, not {spec.id} as it is now; arm it anew")
    return verify(spec, key)


def disarm(home: Home) -> bool:
    """Take the arming back; False: nothing was armed."""
    if not home.armed_file.exists():
        return False
    home.armed_file.unlink()
    return True


def _signature(key: SecretBytes, armed: Armed) -> str:
    message = json.dumps(["armed", 1, armed.strategy_id, armed.spec_sha256, armed.operator, armed.at])
    return hmac.new(key.get_secret_value(), message.encode(), hashlib.sha256).hexdigest()


def _no(reason: Reason, note: str) -> Decision:
    return Decision(False, reason, 0.0, 1.0, note)
