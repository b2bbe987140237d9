"""Commands that stand in the documents are typed for real, in a home prepared as the page says, and print what stands
there; and every command, flag and script that any document names exists.

A block is marked by a line `<!-- run HOME -->` above it. `./lab X` and `python X.py` are called in this process, by the
function that the command calls; anything else is bash, in the home. `...` stands for any lines. Times, ages, hashes and
paths may differ. `LAB_WRITE_DOCS=1` writes the blocks without `...` anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from ai_brain.learning_db import LearningDb
from ops import cli
from ops.backup.keep import back_up
from tests.ops.papers import put
from tests.ops.test_breakdowns import on_a_read_only_disk
from tests.ops.test_explain import history
from tests.ops.test_get_status import beat
from tests.ops.test_stop_trading import one_cycle
from tests.ops.world import World, furnish
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.risk.kill_switch import Stop
from trading.storage.home import Home
from trading.storage.lock import only_one

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SCALE = 20.0
START_MS = 1_795_780_000_000
BLOCK = re.compile(r"(<!-- run ([\w-]+) -->\n```text\n)(.*?)(\n```\n)", re.DOTALL)
BLOCKS = [
    pytest.param(page, found[2], found[3], id=f"{page.stem}-{found[2]}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
]
MAY_DIFFER = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:?\d\d:?\d\dZ"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DAY"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"\b(process|heartbeat|after) [\d.]+"), r"\1 N"),
    (re.compile(r"\b[\d.,]+( MB free| MB of disk)"), r"N\1"),
    (re.compile(r"\blimit \d+ MB"), "limit N MB"),
    (re.compile(r"https?://[\w.:]+/"), "EXCHANGE/"),
    (re.compile(r"[+-]?[\d.]+ s from the exchange's"), "N s from the exchange's"),
)


def cycles(home: Home, count: int) -> Path:
    """An audit file with so many cycles more."""
    log = AuditLog(home.audit_file)
    for number in range(count):
        log.append(AuditLine(START_MS + number, "paper", CycleStatus.NO_TRADE, Reason.NOT_ARMED, "abc"))
    return home.audit_file


def new(home: Home) -> None:
    """A checkout's folder in which nothing ran."""
    shutil.copy(ROOT / ".env.example", home.root)


def paper(home: Home) -> None:
    """A lab that ran for an hour and ended three seconds ago."""
    history(home)
    beat(home, age_s=3.0)


def small_disk(home: Home) -> None:
    """The watchman came by, and found little room."""
    watch(home, MONITOR_MIN_DISK_MB="1000000000")


def restarted(home: Home) -> None:
    """The watchman came by, and no service lived."""
    watch(home, MONITOR_MIN_DISK_MB="0")


def watch(home: Home, **told: str) -> None:
    environment = {"PATH": os.environ["PATH"], "LAB_HOME": str(home.root), "MONITOR_START_COMMAND": "true", **told}
    subprocess.run(["bash", ROOT / "monitor_bot.sh"], env=environment, check=True, timeout=30, capture_output=True)


def whole(home: Home) -> None:
    """Four cycles."""
    cycles(home, 4)


def corrupt(home: Home) -> None:
    """A heartbeat of which only a piece is there."""
    home.heartbeat_file.write_text("{half")


def archived(home: Home) -> None:
    """Four cycles and a database, in an archive."""
    cycles(home, 4)
    LearningDb(home.learning_db).close()
    back_up(home, START_MS)


def misspelt(home: Home) -> None:
    """Settings with a slip in a name."""
    home.settings_file.write_text("riks: {position_pct: 5}\n")


def out_of_range(home: Home) -> None:
    """Settings with a number that cannot be meant."""
    home.settings_file.write_text("risk: {position_pct: 500}\n")


def no_network(home: Home) -> None:
    """Nobody answers at the exchange's address."""
    home.settings_file.write_text("venue: {base_url: 'http://127.0.0.1:9'}\n")


def torn(home: Home) -> None:
    """The fourth line was being written."""
    path = cycles(home, 4)
    path.write_bytes(path.read_bytes()[:-40])


def begun_after_torn(home: Home) -> None:
    """The same after the next start, which sets the piece aside and notes it in the next line."""
    torn(home)
    cycles(home, 1)


def carrying(home: Home, world: World) -> None:
    """A carry was opened, and the lab died."""
    furnish(home, world.url)
    asyncio.run(one_cycle(home, Stop()))


def revoked(home: Home, world: World) -> None:
    """A token that Telegram does not know."""
    furnish(home, world.url)
    with home.env_file.open("a") as env:
        env.write("TELEGRAM_TOKEN=1:revoked\nTELEGRAM_CHAT_ID=42\n")


def clock_off(home: Home, world: World) -> None:
    """From the second time on that the exchange is asked for, its clock is half a minute ahead of ours."""
    furnish(home, world.url)
    put(world, "/sandbox/faults", [{"match": "GET /api/v3/time", "kind": "jump:30000", "after": 1}])


ON_THE_SANDBOX: dict[str, Callable[[Home, World], None]] = {
    "carrying": carrying,
    "revoked": revoked,
    "clock-off": clock_off,
}
PREPARED: dict[str, Callable[[Home], None]] = {
    "new": new,
    "paper": paper,
    "small-disk": small_disk,
    "restarted": restarted,
    "whole": whole,
    "read-only": whole,
    "corrupt": corrupt,
    "archived": archived,
    "misspelt": misspelt,
    "out-of-range": out_of_range,
    "no-network": no_network,
    "torn": torn,
    "begun-after-torn": begun_after_torn,
    "running": lambda _home: None,
}


@pytest.fixture
def typing(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Types one command in the home; what it printed, and its exit status where `; echo $?` asks for it."""
    monkeypatch.setenv("LAB_HOME", str(home.root))
    monkeypatch.chdir(home.root)

    def type_in(command: str) -> str:
        words = shlex.split(command.removesuffix("; echo $?"))
        if words[0] not in ("./lab", "python"):
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=False)
            return done.stdout + done.stderr
        monkeypatch.setattr(sys, "argv", words)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as end:
            enter(words)
        return out.getvalue() + (f"{end.value.code or 0}\n" if command.endswith("; echo $?") else "")

    return type_in


def enter(words: Sequence[str]) -> NoReturn:
    """What `./lab` and the scripts at the root go on as."""
    if words[0] == "./lab":
        cli.main()
    sys.exit(importlib.import_module(f"ops.{Path(words[1]).stem}").main(words[2:]))


def masked(text: str, home: Home) -> str:
    """A screen without what differs from run to run."""
    text = text.replace(str(home.root), "…")
    for what, name in MAY_DIFFER:
        text = what.sub(name, text)
    return text


def agrees(shown: str, printed: str) -> bool:
    """Whether a screen is what was printed, `...` being any lines."""
    lines = (r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in shown.splitlines())
    return re.fullmatch("".join(lines), printed) is not None


@pytest.mark.parametrize(("page", "prepared", "block"), BLOCKS)
def test_a_command_in_the_documents_prints_what_stands_there(
    page: Path, prepared: str, block: str, home: Home, typing: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    if prepared in ON_THE_SANDBOX:
        ON_THE_SANDBOX[prepared](home, request.getfixturevalue("world"))
    else:
        PREPARED[prepared](home)
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    if prepared == "read-only":
        typing = partial(on_a_read_only_disk, home.root)
    with only_one(home.lock_file, what="the lab") if prepared == "running" else contextlib.nullcontext():
        screens = [f"$ {command}\n{typing(command)}" for command in commands]
    printed = "".join(screens)
    if os.environ.get("LAB_WRITE_DOCS") and "\n..." not in block:
        said = printed.replace(str(home.root), "…").rstrip("\n")
        page.write_text(page.read_text(encoding="utf-8").replace(block, said), encoding="utf-8")
        return
    told = masked(printed, home)
    assert agrees(masked(block, home), told), told


NAMED = re.compile(r"(?<![\w/.-])(\./lab|ai-lab|python) (\w[\w./-]*)((?: +(?:--?[\w-]+|[\w./:…*-]+))*)")


def named_commands() -> Iterator[tuple[str, str, list[str]]]:
    """Every command that a document names: where, which, and its flags."""
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            for program, first, rest in NAMED.findall(line):
                flags = [word for word in rest.split() if word.startswith("--")]
                yield f"{page.name}:{number}", f"{program} {first}".replace("ai-lab", "./lab"), flags


def known_flags() -> dict[str, set[str]]:
    """Command -> its flags, of `./lab` by its own parser and of the scripts by theirs."""
    found: dict[str, set[str]] = {"./lab test": set(), "./lab check": {"--no-tests"}, "./lab site": {"--serve"}}
    root = typer.main.get_command(cli.app)
    groups = [("./lab", root)]
    for prefix, group in groups:
        for name, command in getattr(group, "commands", {}).items():
            found[f"{prefix} {name}"] = {flag for one in command.params for flag in one.opts}
            groups.append((f"{prefix} {name}", command))
    return found


def test_every_command_that_a_document_names_exists_with_its_flags() -> None:
    known, wrong = known_flags(), []
    scripts = {path.name for path in ROOT.glob("*.py")}
    for where, command, flags in named_commands():
        program, first = command.split(" ", 1)
        if first in ("X", "X.py"):
            continue  # stands for any
        if program == "python":
            if first.endswith(".py") and first not in scripts and not (ROOT / first).exists():
                wrong.append(f"{where}: {command}")
        elif first.endswith(".py"):
            wrong += [] if first in scripts else [f"{where}: {command}"]
        elif re.fullmatch(r"[a-z-]+", first):
            takes = {flag for name in known if name.startswith(command) for flag in known[name]} | {"--help"}
            wrong += [] if any(name.split()[1] == first for name in known) else [f"{where}: {command}"]
            wrong += [f"{where}: {command} {flag}" for flag in flags if flag not in takes]
    assert wrong == []


def test_every_word_to_look_for_in_the_log_is_one_that_the_code_writes() -> None:
    book = (DOCS / "run-book.md").read_text(encoding="utf-8")
    wanted = set(re.findall(r"`grep ([a-z]+\.[a-z_]+) logs/", book))
    code = "".join(
        path.read_text() for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")
    )
    assert len(wanted) > 8
    assert {word for word in wanted if f'"{word}"' not in code and f'"{word.partition(".")[2]}"' not in code} == set()


def test_every_file_of_the_state_stands_in_the_table_of_files() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    paths = [path for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")]
    named = {name for path in paths for name in re.findall(r"\bstate / \"([^\"]+)\"", path.read_text(encoding="utf-8"))}
    assert len(named) > 30
    assert {name for name in named if not name.endswith(".lock") and f"`state/{name}" not in table} == set()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """Links between the pages in docs/ are the site's to check; the README is no page of it."""
    gone = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        page = ROOT / name
        if not page.is_file():
            gone.append(target)
        elif anchor:
            heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            gone += [] if anchor in slugs else [target]
    assert gone == []
