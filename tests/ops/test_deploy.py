"""What `deploy/` puts onto a server: units that honour a stop and take nothing they need not, and containers like them.

The whole installer in a clean root is `deploy/try_install.sh`, minutes of work, for whoever has root.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def filled(template: Path, prefix: Path) -> str:
    """As install.sh fills it."""
    text = template.read_text().replace("@HARDENING@\n", (DEPLOY / "systemd" / "hardening.conf").read_text())
    for name, value in (("PREFIX", prefix), ("HOME", prefix), ("USER", "daemon"), ("UNIT", "ai-trading-lab")):
        text = text.replace(f"@{name}@", str(value))
    return text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_units_without_a_complaint_and_finds_little_exposed(tmp_path: Path) -> None:
    for name in ("lab", "monitor_bot.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "docs").mkdir()
    units = []
    for template in UNITS:
        unit = tmp_path / template.name
        unit.write_text(filled(template, tmp_path))
        units.append(unit)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "ai-trading-lab" in line] == []
    for unit in units:
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True
        ).stdout
        exposure = re.search(r"Overall exposure level for .*: (\d+\.\d+)", told)
        assert exposure is not None, told
        assert float(exposure[1]) < 3.0


@pytest.mark.parametrize("template", UNITS, ids=lambda path: path.name)
def test_no_unit_runs_as_root_and_no_name_is_left_open(template: Path, tmp_path: Path) -> None:
    text = filled(template, tmp_path)
    assert "@" not in text.replace("@system-service", "").replace("@privileged", "").replace("@obsolete", "")
    assert "User=daemon" in text
    assert "NoNewPrivileges=yes" in text


def test_the_service_asks_whether_it_may_start_and_the_guardian_whether_it_has_keys() -> None:
    service, guardian = ((DEPLOY / "systemd" / f"ai-trading-lab{end}.service").read_text() for end in ("", "-guardian"))
    assert "ExecCondition=@PREFIX@/monitor_bot.sh --may-start" in service
    assert "--may-start" not in guardian, "a guardian works while a stop is in force"
    assert "ExecCondition=@PREFIX@/monitor_bot.sh --may-guard" in guardian
    for text in (service, guardian):
        assert "Restart=always" in text
        assert "WatchdogSec=" in text


def test_the_watchman_runs_as_the_lab_and_knows_who_starts_it() -> None:
    (line,) = [line for line in (DEPLOY / "cron").read_text().splitlines() if line.startswith("*/5")]
    assert line.split()[5:] == [
        "@USER@",
        "LAB_HOME=@HOME@",
        "MONITOR_SUPERVISOR=@SUPERVISOR@",
        "@PREFIX@/monitor_bot.sh",
    ]


def test_the_container_copies_what_there_is_and_runs_as_nobody_who_matters() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert list(ROOT.glob(source)), f"COPY {source}: there is no such file"
    assert text.index("USER ai-lab") < text.index("ENTRYPOINT")
    assert "--when-allowed" in text, "a stop stays a stop, whatever restarts the container"
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert not any("uid=" in one for one in service["tmpfs"]), "Podman 4 refuses it"
        assert not {"ports", "privileged"} & set(service)
        assert service["pid"] == "host", "they see each other, and start in any order, whichever of them died"
        assert "depends_on" not in service
    assert "--when-keyed" in services["guardian"]["entrypoint"], "idle without keys, and no stop holds it"
    assert services["watchman"]["environment"] == {"MONITOR_SUPERVISOR": "containers"}


def test_the_folder_that_compose_mounts_is_none_of_the_checkout() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    (mounted,) = re.findall(r"\$\{LAB_FOLDER:-(.+?)\}", text)
    assert not (DEPLOY / mounted).resolve().is_relative_to(ROOT), (
        "it would be copied into images, or be a file that is there"
    )
    made = [line.split()[-1] for line in text.splitlines() if "sudo install" in line]
    assert made == [mounted, f"{mounted}/.env"], "what the head says to make is what is mounted"
