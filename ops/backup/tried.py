"""What was tried stays tried: a restore takes no idea, no refusal and no look into the vault out of the count.

The tables of the lab's memory are append-only. So the one that is replaced is the archive's and more, or another lab's.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ops.backup.look import Say
from trading.domain.counted import counted
from trading.storage.home import Home


def keep_tried(old: Home, fresh: Home, say: Say) -> None:
    """Keep the memory that is there where it is whole and went on from the archive's; say what became of it.

    Args:
        old: What is about to be replaced.
        fresh: What replaces it.
        say: Told in one line, where the two count differently.
    """
    if not old.learning_db.exists():
        return
    copy = fresh.learning_db.with_suffix(".kept")
    try:
        with closing(sqlite3.connect(old.learning_db)) as memory:
            more = _more(memory, fresh)
            if more:
                copy.touch(mode=0o600)
                with closing(sqlite3.connect(copy)) as kept:
                    memory.backup(kept)
                copy.replace(fresh.learning_db)
    except sqlite3.Error as error:
        copy.unlink(missing_ok=True)
        say(f"tried:    what was tried after the archive is counted no more: {old.learning_db.name}: {error}")
        return
    if more:
        stay = "stays" if more == 1 else "stay"
        say(f"tried:    {counted(more, 'idea')} of after the archive {stay} counted, with every refusal and look")


def _more(memory: sqlite3.Connection, fresh: Home) -> int:
    """Ideas that a memory has and the archive's has not.

    Raises:
        sqlite3.Error: it is damaged, or did not go on from the archive's.
    """
    (said,) = memory.execute("PRAGMA integrity_check").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    if not fresh.learning_db.exists():  # attached, it would be made
        return int(memory.execute("SELECT count(*) FROM ideas").fetchone()[0])
    memory.execute("ATTACH ? AS archive", (str(fresh.learning_db),))
    try:
        tables = memory.execute(
            "SELECT name FROM archive.sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'"
        )
        for (name,) in tables.fetchall():
            both = f'SELECT * FROM archive."{name}" EXCEPT SELECT * FROM main."{name}" LIMIT 1'  # noqa: S608  # our table
            if memory.execute(both).fetchone() is not None:
                raise sqlite3.DatabaseError(f"it lacks {name} that the archive has")
        count = "SELECT (SELECT count(*) FROM main.ideas) - (SELECT count(*) FROM archive.ideas)"
        return int(memory.execute(count).fetchone()[0])
    finally:
        memory.execute("DETACH archive")
