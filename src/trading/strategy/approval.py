"""A human's signature under a strategy: HMAC-SHA256 with a key that never leaves the machine.

What is signed is what the strategy does (`spec_sha256`), the evidence that was shown, who signed, and when. Change one
of them and the signature no longer fits; `verify` says which strategy may not trade, and why.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from pathlib import Path

from pydantic import SecretBytes

from trading.domain.clock import iso
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.storage.files import sync_folder
from trading.strategy.lifecycle import KEEPS_APPROVAL, standing_approval
from trading.strategy.spec import StrategySpec, spec_sha256

KEY_BYTES = 32


def load_key(path: Path, *, create: bool = True) -> SecretBytes:
    """The key that signs approvals.

    Args:
        path: `state/approval.key`, 64 hex digits, readable by its owner alone.
        create: Make a new key where there is none; False: only read.

    Raises:
        StateFileError: missing, cannot be read or written, readable by others, or not a key.
    """
    try:
        if create and not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise StateFileError(f"{path}: mode={mode:o}: others may read or write the key; chmod 600 {path}")
        text = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as error:
        raise StateFileError(f"{path}: {_NOT_A_KEY}") from error
    except OSError as error:
        raise StateFileError(f"{path}: the key of approvals: {error.strerror}; see who owns the folder") from error
    if len(text) != 2 * KEY_BYTES or not all(c in "0123456789abcdef" for c in text):
        raise StateFileError(f"{path}: {_NOT_A_KEY}")
    return SecretBytes(bytes.fromhex(text))


def sign(key: SecretBytes, *, spec_sha256: str, evidence_sha256: str, operator: str, at_ms: int) -> str:
    """The signature of an approval, 64 hex digits.

    Args:
        key: From `load_key`.
        spec_sha256: Of the strategy that is approved.
        evidence_sha256: Of the evidence the operator has seen.
        operator: Who signs.
        at_ms: When, UTC milliseconds; signed to the second, as files write it.
    """
    return _signature(key, spec_sha256, evidence_sha256, operator, iso(at_ms))


def verify(spec: StrategySpec, key: SecretBytes) -> Decision:
    """Whether the approval of a strategy stands and was signed for it as it is now.

    Returns:
        Allowed (`OK`), or refused (`APPROVAL_VOID`) with why; value 1.0 where a signature fits, limit 1.0.
    """
    approval = standing_approval(spec.history)
    if spec.stage not in KEEPS_APPROVAL or approval is None or spec.approved_at != approval.at:
        return _void(f"{spec.id} is not approved: python approve_strategy.py {spec.id}")
    expected = _signature(key, spec_sha256(spec), approval.evidence_sha256, approval.by, approval.at)
    if not hmac.compare_digest(expected.encode(), approval.signature.encode()):
        return _void(
            f"{spec.id}: the signature of {approval.by} at {approval.at} does not fit: parameters, evidence or key "
            "have changed since; test and approve it anew"
        )
    return Decision(True, Reason.OK, 1.0, 1.0, f"{spec.id}: approved by {approval.by} at {approval.at}")


_NOT_A_KEY = "not a key of 64 hex digits; restore it from a backup, or remove it and approve anew"


def _signature(key: SecretBytes, spec_hash: str, evidence_hash: str, operator: str, at: str) -> str:
    # As JSON, so that no two different approvals run together into one text.
    message = json.dumps(["approval", 1, spec_hash, evidence_hash, operator, at], ensure_ascii=True)
    return hmac.new(key.get_secret_value(), message.encode(), hashlib.sha256).hexdigest()


def _void(why: str) -> Decision:
    return Decision(False, Reason.APPROVAL_VOID, 0.0, 1.0, why)


def _create(path: Path) -> None:
    """Write a new key beside its place and link it in, so that it is whole or absent, and the first one made stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        draft.unlink()
