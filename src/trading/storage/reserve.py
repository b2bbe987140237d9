"""Room on the disk that is kept for a stop: the stop itself, and the orders that close, are written before they act."""

from __future__ import annotations

import errno
from contextlib import suppress

from trading.domain.errors import StateFileError
from trading.storage.files import write_atomic
from trading.storage.home import Home

RESERVE_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


def keep_reserve(home: Home) -> None:
    """Take the room where it is not taken; a disk that has none left gives none."""
    if not home.reserve_file.exists():
        with suppress(StateFileError):
            write_atomic(home.reserve_file, bytes(RESERVE_BYTES))


def let_reserve_go(home: Home, error: StateFileError) -> bool:
    """Give the room to whoever must write now; False: that was not what was missing, or there is none."""
    if not _is_of_full_disk(error):
        return False
    try:
        home.reserve_file.unlink()
    except OSError:
        return False
    return True


def _is_of_full_disk(error: BaseException) -> bool:
    why: BaseException | None = error
    while why is not None and not isinstance(why, OSError):
        why = why.__cause__
    return why is not None and why.errno in FULL
