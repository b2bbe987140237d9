#!/usr/bin/env bash
# Tries the installer in a clean root of its own: deploy/try_install.sh ROOT [PREPARE], as root, on Debian or Ubuntu.
#   ROOT     a folder with a fresh Debian 12; an empty or missing one is made with debootstrap
#   PREPARE  a command that is called with ROOT before the installer, for what this network needs inside: certificates, a
#            package index, a mirror
# Installs twice, runs the lab against its own sandbox until its first report, approves a strategy, stops the lab, backs up, restores, updates, takes it away and purges.
# Prints one line a check and ends with 1 at the first that does not hold. In a chroot there is no systemd: the units are
# looked at by the systemd-analyze of the machine outside.
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
tree="$(dirname "$here")"
root="${1:?a folder for the clean root}"
prepare="${2:-}"
[ "$(id -u)" = 0 ] || { echo "try_install: needs root for chroot" >&2; exit 2; }
if [ ! -x "$root/bin/bash" ]; then
    command -v debootstrap >/dev/null || { echo "try_install: needs debootstrap: apt install debootstrap" >&2; exit 2; }
    debootstrap --variant=minbase bookworm "$root" >/dev/null
fi
root="$(cd "$root" && pwd)"
started="$(date +%s)"

clean=(/usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)
inside() { chroot "$root" "${clean[@]}" "$@"; }
ok() { printf 'ok    %4d s  %s\n' "$(($(date +%s) - started))" "$*"; }
no() { printf 'BAD   %4d s  %s\n' "$(($(date +%s) - started))" "$*"; exit 1; }
holds() { # $1: what, then a command that must succeed
    local what="$1"
    shift
    if "$@" >"$root/tmp/last" 2>&1; then ok "$what"; else tail -n 20 "$root/tmp/last" && no "$what"; fi
}
says() { # $1: what, $2: words, then a command that must print them
    local what="$1" words="$2"
    shift 2
    "$@" >"$root/tmp/last" 2>&1 || true
    if grep -q -- "$words" "$root/tmp/last"; then ok "$what: $(grep -m 1 -- "$words" "$root/tmp/last")"; else tail -n 20 "$root/tmp/last" && no "$what"; fi
}
there() { # waits for a file, five minutes
    for _ in $(seq 600); do
        if [ -s "$1" ]; then return; fi
        sleep 0.5
    done
    return 1
}
pid_of() { cat "$root/var/lib/ai-trading-lab/state/lab.lock" 2>/dev/null || true; }
end_lab() { # what was started in here, by its own lock
    local pid
    pid="$(pid_of)"
    [ -z "$pid" ] || [ ! -d "/proc/$pid" ] || kill -TERM "$pid" || true
    for _ in $(seq 100); do
        if [ -z "$pid" ] || [ ! -d "/proc/$pid" ]; then break; fi
        sleep 0.2
    done
}
leave() {
    end_lab
    [ -z "${world:-}" ] || kill "$world" 2>/dev/null || true
    umount "$root/proc" 2>/dev/null || true
}
trap leave EXIT

mount -t proc proc "$root/proc"
[ -z "$prepare" ] || "$prepare" "$root"
rm -rf "$root/srv/source" && mkdir -p "$root/srv"
git -C "$tree" bundle create -q "$root/srv/lab.bundle" HEAD
lab_home="$root/var/lib/ai-trading-lab" lab_prefix="$root/opt/ai-trading-lab"
[ -x "$root/usr/bin/git" ] || inside sh -c 'apt-get update -q && apt-get install -q -y git' >/dev/null
inside git -c advice.detachedHead=false clone -q /srv/lab.bundle /srv/source
inside git -C /srv/source checkout -q -B main # what somebody clones has a branch
ok "a clean root with the source, as somebody would clone it"

holds "the installer" inside /srv/source/deploy/install.sh
holds "the program belongs to root" inside test "$(stat -c %U "$lab_prefix/lab")" = root
holds "keys are readable by the lab alone" test "$(stat -c %a "$lab_home/.env")" = 600
holds "the lab's user may write its home" inside runuser -u ai-lab -- touch /var/lib/ai-trading-lab/state/try
holds "and not the program" inside sh -c '! runuser -u ai-lab -- touch /opt/ai-trading-lab/lab'
says "a user without a login" nologin inside getent passwd ai-lab
says "the doctor" "ok    python" inside ai-lab doctor --offline
says "the status" "never ran here" inside ai-lab get_status.py
echo "GEMINI_API_KEY=made-up" >>"$lab_home/.env"
before="$(cat "$lab_home/.env" "$lab_home/lab.yaml" | sha256sum)"
holds "the installer again" inside /srv/source/deploy/install.sh
holds "changed no key and no setting" test "$before" = "$(cat "$lab_home/.env" "$lab_home/lab.yaml" | sha256sum)"
sed -i '/^GEMINI/d' "$lab_home/.env"
if command -v systemd-analyze >/dev/null; then
    for unit in "$root"/etc/systemd/system/ai-trading-lab*.service; do
        # the names that the units call exist inside only; everything else must be without a complaint
        says "systemd-analyze verify $(basename "$unit")" "^no complaint$" \
            sh -c "systemd-analyze verify '$unit' 2>&1 | grep -v 'is not executable: No such file' | grep . || echo 'no complaint'"
        says "systemd-analyze security $(basename "$unit")" "Overall exposure" systemd-analyze security --offline=true "$unit"
    done
fi
holds "logrotate takes its file" inside logrotate --debug /etc/logrotate.d/ai-trading-lab

# a market and an exchange on loopback, as the tests have them; the lab beside it as cron would start it
cat >"$root/tmp/world.py" <<'PYTHON'
import pathlib, signal, sys, tempfile
from tests.ops.papers import put_in_review
from tests.ops.world import open_world
from trading.storage.home import Home
put_in_review(Home(pathlib.Path("/var/lib/ai-trading-lab")))  # a strategy that has been through everything but a human
with tempfile.TemporaryDirectory() as folder:
    world = open_world(pathlib.Path(folder), scale=60.0)  # an hour a minute
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    pathlib.Path("/tmp/world.url").write_text(world.url)
    try:
        signal.pause()
    finally:
        world.close()
PYTHON
rm -f "$root/tmp/world.url"
(exec chroot --userspec=ai-lab:ai-lab "$root" /usr/bin/env -C /tmp "${clean[@]}" HOME=/tmp PYTHONPATH=/opt/ai-trading-lab \
    /opt/ai-trading-lab/.venv/bin/python /tmp/world.py) &
world=$!
there "$root/tmp/world.url" || no "the sandbox"
printf 'venue: {base_url: "%s", follow_sandbox_clock: true}\nresearch: {history_days: 150}\nnews: {enabled: false}\nonchain: {enabled: false}\nsentiment: {enabled: false}\ntelegram: {base_url: "%s"}\n' \
    "$(cat "$root/tmp/world.url")" "$(cat "$root/tmp/world.url")" >>"$lab_home/lab.yaml"
printf 'TELEGRAM_TOKEN=123456:sandbox-telegram-token\nTELEGRAM_CHAT_ID=1\n' >>"$lab_home/.env"
chat() { # what reached the chat, once it has these words; five minutes
    for _ in $(seq 600); do
        inside curl -fsS "$(cat "$root/tmp/world.url")/sandbox/telegram" | sed 's/\\n/\n/g' >"$root/tmp/chat"
        if grep -q -- "$1" "$root/tmp/chat"; then cat "$root/tmp/chat" && return; fi
        sleep 0.5
    done
    return 1
}
watchman() { inside runuser -u ai-lab -- env LAB_HOME=/var/lib/ai-trading-lab /opt/ai-trading-lab/monitor_bot.sh; }
watchman
holds "the watchman started the lab, and it gave a heartbeat" there "$lab_home/state/heartbeat.json"
says "it runs" "runs as process" inside ai-lab get_status.py
says "its first report" "Equity" chat "Hourly Report"
says "what waits for its human" "approve_strategy.py fc-" chat "Waits for you"
says "an approval" "Approved and signed" inside sh -c 'echo yes | ai-lab approve_strategy.py fc-20240601'
says "the status knows it" "fc-20240601" inside ai-lab get_status.py --approved
says "it runs as" "ai-lab" inside ps -o user= -p "$(pid_of)"
inside mkdir -p /srv/copies
holds "a backup beside it" inside /opt/ai-trading-lab/deploy/backup.sh --to /srv/copies
says "a restore beside it is refused" "already runs" inside /opt/ai-trading-lab/deploy/restore.sh
says "the restore drill" "could be restored" inside /opt/ai-trading-lab/deploy/restore.sh --drill
says "an update to where it is" "already at" inside /opt/ai-trading-lab/deploy/update.sh

says "a stop" "TRADING_STOPPED.json is written" inside ai-lab stop_trading.py --why "try_install"
end_lab
watchman
says "the watchman lets a stopped lab lie" "stopped, not restarting" tail -n 1 "$lab_home/logs/monitor.log"
says "so does the unit's condition" "not started: state/TRADING_STOPPED.json" \
    inside runuser -u ai-lab -- env LAB_HOME=/var/lib/ai-trading-lab /opt/ai-trading-lab/monitor_bot.sh --may-start
says "a restore" "aside:    what was there before is in" inside /opt/ai-trading-lab/deploy/restore.sh
says "undoes no stop" "TRADING_STOPPED.json is there" inside ai-lab get_status.py
says "its audit" "the chain is whole" inside ai-lab verify-audit
says "the release" "released: TRADING_STOPPED.json" inside ai-lab stop_trading.py --release

kill "$world" && wait "$world" || true
world=""
holds "uninstall" inside /opt/ai-trading-lab/deploy/install.sh --uninstall
holds "leaves the state" test -s "$lab_home/state/audit.jsonl"
holds "and takes program, units and cron line" sh -c "! ls '$lab_prefix' '$root'/etc/systemd/system/ai-trading-lab* '$root/etc/cron.d/ai-trading-lab' 2>/dev/null"
holds "purge" inside /srv/source/deploy/install.sh --purge --yes
holds "takes the state and the user too" sh -c "[ ! -e '$lab_home' ] && ! grep -q ^ai-lab: '$root/etc/passwd'"
ok "all held"
