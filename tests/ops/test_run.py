"""`./lab run` around the service: what happens when it has ended."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

import ops.run
from trading.domain.errors import NetworkDownError


@pytest.mark.parametrize("fails", [False, True], ids=["told to end", "no exchange"])
def test_the_end_of_the_process_combs_no_memory(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(*_: object) -> None:
        if fails:
            raise NetworkDownError("no exchange")

    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(ops.run, "serve", serve)
    for name in ("set_up_logs", "keep_reserve"):
        monkeypatch.setattr(ops.run, name, lambda *_, **__: None)
    held: list[list[int]] = [[] for _ in range(1000)]
    before = gc.get_freeze_count()
    if fails:
        with pytest.raises(NetworkDownError):
            ops.run.run_service()
    else:
        assert ops.run.run_service() == 0
    assert gc.get_freeze_count() >= before + len(held), "what is frozen no collection looks at, the last one included"
