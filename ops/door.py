"""How `python get_status.py` finds the lab's own Python: only the standard library, so that any Python can open it."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"


def walk_in(module: str) -> NoReturn:
    """Go on as `.venv/bin/python -m MODULE` with the same arguments."""
    if not PYTHON.exists():
        print(f"{Path(sys.argv[0]).name}: the lab is not set up here; run {ROOT / 'lab'} doctor once", file=sys.stderr)
        sys.exit(2)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache" / kernels_version()))
    os.execv(PYTHON, [str(PYTHON), "-m", module, *sys.argv[1:]])  # noqa: S606  # our own interpreter, no shell


def kernels_version() -> str:
    """The hash that `lab` keeps compiled kernels under: numba would not see that a callee in another file changed."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src" / "trading" / "simulator").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
