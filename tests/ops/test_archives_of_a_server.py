"""`deploy/backup.sh` and `restore.sh`: what root types, around the lab's own backup and restore."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = f'#!/bin/sh\nPYTHONPATH={ROOT}/src:{ROOT} exec {sys.executable} -m ops.cli "$@"\n'

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as on a server")


def test_the_copy_is_the_archive_just_written_also_behind_a_link_and_after_a_clock_that_was_ahead(
    tmp_path: Path,
) -> None:
    home, backups, copies = tmp_path / "home", tmp_path / "disk" / "backups", tmp_path / "copies"
    for folder in (home / "state", backups, copies, tmp_path / "prefix"):
        folder.mkdir(parents=True)
    (home / "backups").symlink_to(backups)
    (tmp_path / "prefix" / "lab").write_text(LAB)
    (tmp_path / "prefix" / "lab").chmod(0o755)
    (tmp_path / "lab.conf").write_text(
        f"prefix={tmp_path}/prefix home={home} user=root deploy_log_folder={tmp_path}/log systemd_there=/nowhere\n"
    )

    def typed(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
            "LAB_CONF": str(tmp_path / "lab.conf"),
        }  # no more than cron gives
        command = ["bash", ROOT / "deploy" / script, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert typed("backup.sh").returncode == 0
    drill = typed("restore.sh", "--drill")
    assert "could be restored" in drill.stdout, drill.stderr
    (first,) = backups.iterdir()
    first.rename(backups / "lab-2040-01-01T000000Z.tar.gz")
    done = typed("backup.sh", "--to", copies)
    assert done.returncode == 0, done.stderr
    (copy,) = copies.iterdir()
    assert str(copy) in done.stdout
    assert not copy.name.startswith("lab-2040")
    assert copy.stat().st_mode & 0o777 == 0o600
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sync").write_text("#!/bin/sh\necho no space left; exit 1\n")
    (tmp_path / "bin" / "sync").chmod(0o755)
    full = typed("backup.sh", "--to", copies)
    assert full.returncode == 1
    assert f"no copy, see above; the archive is {home}" in full.stderr
    assert list(copies.iterdir()) == [copy], "nor half a one, which would fill the disk night by night"
    assert f"no copy in {copies}" in (tmp_path / "log" / "deploy.log").read_text()
    for words, said in (((copies,), "no such file; name an archive"), (("--identity",), "needs a value")):
        refused = typed("restore.sh", *words)
        assert refused.returncode == 2
        assert said in refused.stderr
