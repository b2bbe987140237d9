"""`./lab verify-audit`: is the audit file's chain of hashes whole, and has it every root that was told?"""

from __future__ import annotations

from pathlib import Path

from ops.environment import find_home
from trading.domain.errors import SettingsError
from trading.journal.audit import verify_audit
from trading.journal.audit_roots import ToldRoot, checked_root, read_roots


def run_verify_audit(file: Path | None, root: str | None = None) -> int:
    """Check the hash chain of an audit file, and that it has every root that was told; 1 where it is broken.

    Raises:
        SettingsError: there is no such file, or the root is none.
        StateFileError: it cannot be read.
    """
    home = find_home()
    path = home.audit_file if file is None else file
    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: no such file; give an audit file such as state/audit.jsonl")
    told = read_roots(home.audit_roots_file) if file is None else []
    try:
        told += [] if root is None else [ToldRoot(checked_root(root), "--root")]
    except ValueError as error:
        raise SettingsError(f"--root {error}") from error
    check = verify_audit(path, told)
    if check.ok:
        roots = f"; {len(told)} told roots are in it" if told else ""
        print(f"{path}: {check.lines} lines, the chain is whole; head {check.head_hash}{roots}")
        return 0
    if check.first_bad_line is None:
        print(f"{path}: {check.lines} lines, each good behind the one before, but {check.why}; head {check.head_hash}")
        return 1
    print(f"{path}: line {check.first_bad_line}: {check.why}; the lines before it are whole, head {check.head_hash}")
    return 1
