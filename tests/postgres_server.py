"""A real PostgreSQL server for tests, in a folder of its own, reached by its socket; none installed: skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PASSWORD = "not-a-secret-of-anyone"


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server for as long as the block runs; the address of an empty database on it."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: apt install postgresql")
    with TemporaryDirectory(prefix="lab-pg-") as made:
        folder = Path(made)
        secret, data = folder / "password", folder / "data"
        secret.write_text(PASSWORD)
        user = "nobody" if os.geteuid() == 0 else None  # the server refuses to be root
        if user is not None:
            for path in (folder, secret):
                shutil.chown(path, user)

        def run(program: str, *words: str) -> None:
            command = [str(programs / program), "-D", str(data), *words]
            done = subprocess.run(command, user=user, cwd=folder, check=False, stdout=subprocess.DEVNULL)
            assert done.returncode == 0, (program, (folder / "log").read_text() if (folder / "log").exists() else "")

        run("initdb", "-U", "lab", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
        run("pg_ctl", "start", "--wait", "-l", str(folder / "log"), "-o", f"-c fsync=off -h '' -k {folder}")
        try:
            yield f"postgresql://lab:{PASSWORD}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "--wait", "-m", "fast")


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None
