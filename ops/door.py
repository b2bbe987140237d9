"""How `python get_status.py` finds the lab's own Python: only the standard library, so that any Python can open it."""

from __future__ import annotations

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
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache"))
    os.execv(PYTHON, [str(PYTHON), "-m", module, *sys.argv[1:]])  # noqa: S606  # our own interpreter, no shell
