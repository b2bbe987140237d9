"""The second gate: a signed file that says which approved strategies may trade live.

`go_live.py` writes it after two phrases and a one-time code: one record a strategy, each signed by itself and bound to
the spec as it was approved. A changed spec, a changed signature or a retired strategy void its record and no other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, replace

from pydantic import SecretBytes, TypeAdapter, ValidationError

from trading.domain.clock import iso
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.domain.first_fault import first_fault
from trading.storage.files import read_json, remove, write_json
from trading.storage.home import Home
from trading.strategy.approval import load_key, verify
from trading.strategy.spec import StrategySpec, spec_sha256

ARMED_SCHEMA, OLDEST_SCHEMA = 2, 1
"""Written, and still read: files before 2 hold one record, at the top."""


@dataclass(frozen=True, slots=True)
class Armed:
    """What the human armed."""

    strategy_id: str
    spec_sha256: str
    operator: str
    at: str
    """ISO 8601, UTC."""
    signature: str


_RECORDS = TypeAdapter(tuple[Armed, ...])


def approval_key(home: Home, *, create: bool) -> SecretBytes:
    """The local key that signs approvals and arming.

    Raises:
        StateFileError: missing (unless `create`), readable by others, or not a key.
    """
    return load_key(home.state / "approval.key", create=create)


def write_armed(home: Home, spec: StrategySpec, *, operator: str, at_ms: int, keeps_others: bool) -> None:
    """Arm one approved strategy.

    Args:
        home: Whose file.
        spec: As it is approved.
        operator: Who armed it.
        at_ms: Lab time.
        keeps_others: What else is armed stays so; False: this one takes its place.

    Raises:
        StateFileError: the key or the file cannot be used.
    """
    armed = Armed(spec.id, spec_sha256(spec), operator, iso(at_ms), "")
    signed = replace(armed, signature=_signature(approval_key(home, create=False), armed))
    others = [record for record in armed_records(home) if record.strategy_id != spec.id] if keeps_others else []
    _write(home, (*others, signed))


def armed_records(home: Home) -> tuple[Armed, ...]:
    """What was armed, valid or not, in the order of arming.

    Raises:
        StateFileError: the file makes no sense.
    """
    data = read_json(home.armed_file, schema=ARMED_SCHEMA, oldest=OLDEST_SCHEMA)
    if data is None:
        return ()
    try:
        return _RECORDS.validate_python(data.get("armed", [data]))
    except ValidationError as error:
        raise StateFileError(f"{home.armed_file}: {first_fault(error)}; arm anew: python go_live.py") from error


def read_armed(home: Home, spec: StrategySpec) -> Decision:
    """Whether this strategy may trade live: armed, signed for exactly this spec, and its approval still stands."""
    try:
        armed = next((record for record in armed_records(home) if record.strategy_id == spec.id), None)
        if armed is None:
            return _no(Reason.NOT_ARMED, f"{spec.id} is approved but not armed: python go_live.py")
        key = approval_key(home, create=False)
    except StateFileError as error:
        return _no(Reason.NOT_ARMED, str(error))
    if not hmac.compare_digest(_signature(key, armed).encode(), armed.signature.encode()):
        return _no(Reason.APPROVAL_VOID, f"{home.armed_file.name}: the signature does not fit; arm it anew")
    if armed.spec_sha256 != spec_sha256(spec):
        return _no(Reason.APPROVAL_VOID, f"{spec.id} was armed, but not as it is now; arm it anew")
    return verify(spec, key)


def disarm(home: Home, strategy_id: str | None = None) -> bool:
    """Take the arming back; False: it was not armed.

    Args:
        home: Whose file.
        strategy_id: Of one strategy, the others stay armed; None: of all.

    Raises:
        StateFileError: the file makes no sense and has been set aside, or cannot be written or removed.
    """
    if strategy_id is None:
        return home.armed_file.exists() and remove(home.armed_file)
    records = armed_records(home)
    left = tuple(record for record in records if record.strategy_id != strategy_id)
    if left:
        _write(home, left)
    else:
        remove(home.armed_file)
    return len(left) < len(records)


def _write(home: Home, records: tuple[Armed, ...]) -> None:
    write_json(home.armed_file, {"armed": _RECORDS.dump_python(records, mode="json")}, schema=ARMED_SCHEMA)


def _signature(key: SecretBytes, armed: Armed) -> str:
    message = json.dumps(["armed", 1, armed.strategy_id, armed.spec_sha256, armed.operator, armed.at])
    return hmac.new(key.get_secret_value(), message.encode(), hashlib.sha256).hexdigest()


def _no(reason: Reason, note: str) -> Decision:
    return Decision(False, reason, 0.0, 1.0, note)
