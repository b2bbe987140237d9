#!/usr/bin/env bash
# A newer lab, or a given one: sudo update.sh [TAG|COMMIT]. Backs up, brings program, packages and units to it, asks the
# doctor, starts anew what ran and waits until it lives. What fails, or is interrupted, is rolled back: the old program with
# its old packages runs again. What was cut off by a power failure is rolled back by the next call.
# A stop stays a stop: a service that is stopped, or that did not run, is updated and not started.
#   --dry-run  only say what would be done          HEALTH_S=600  how long a sign of life is waited for
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
health_s="${HEALTH_S:-600}"
marker="$prefix/.update" # there while the program is between two versions: where from, and what ran
before="" ran="" begun=no why="it was cut off"
dry=no wanted=""
for word in "$@"; do
    case "$word" in
        --dry-run) dry=yes ;;
        -*) die 2 "$word: unknown; see the head of $0" ;;
        *) wanted="$word" ;;
    esac
done

git_() { git -C "$prefix" "$@"; }
short() { git_ rev-parse --short "$1"; }

target() { # the commit that was asked for, else the newest of the branch that upstream calls its own
    if [ -n "$wanted" ]; then
        git_ rev-parse -q --verify "refs/tags/$wanted^{commit}" || git_ rev-parse -q --verify "origin/$wanted^{commit}" ||
            git_ rev-parse -q --verify "$wanted^{commit}" || die 2 "$wanted: no such tag, branch or commit upstream"
    else
        git_ remote set-head origin --auto >/dev/null 2>&1 || true
        git_ rev-parse -q --verify "origin/HEAD^{commit}" || die 2 "upstream calls no branch its own; give a tag or a branch"
    fi
}

stop_in_force() { # why the service must not be started; nothing when it may. Whoever cannot be asked says stop
    local why
    why="$(as_lab "$prefix/monitor_bot.sh" --may-start)" || echo "${why:-monitor_bot.sh --may-start fails}"
}

keep_packages() { # hard links, so that a roll-back needs no network; the stamps are written in place, so they are copied
    rm -rf "$prefix/.venv.before"
    [ -d "$prefix/.venv" ] || return 0
    cp -al "$prefix/.venv" "$prefix/.venv.before" || return 1
    local stamp
    for stamp in "$prefix"/.venv/.stamp-*; do
        [ ! -e "$stamp" ] || cp -p --remove-destination "$stamp" "$prefix/.venv.before/" || return 1
    done
}

install_packages() { (cd / && env -u LAB_HOME "$prefix/lab" --help >/dev/null); }

around() { # units, cron line, the ai-lab command, as this version has them; one from before units.sh leaves what it finds
    [ ! -x "$prefix/deploy/units.sh" ] || "$prefix/deploy/units.sh"
}

doctor() { as_lab "$prefix/lab" doctor --offline; }

start_anew() { # what ran, the guardian first, so that one of the two always watches; a stop holds the service alone
    local one started=()
    begun=yes
    touch "$marker" # what is younger comes from those who start now
    for one in $ran; do
        if [ "$one" = "$unit" ] && [ -n "$(stop_in_force)" ]; then continue; fi
        restart "$one"
        started+=("$one")
        healthy "${started[@]}" || return 1
    done
    ! has_systemd || systemctl try-restart --no-block "$unit-page"
}

restart() {
    local pid
    if has_systemd; then
        systemctl restart --no-block "$1"
        return
    fi
    pid="$(holder "$1")"
    [ -z "$pid" ] || end_processes "$pid"
    as_lab "$prefix/monitor_bot.sh" 8>&- # as cron would; what it starts must not keep this script's lock
}

healthy() { # all of these units live, within the time
    local one since="$SECONDS" missing
    while :; do
        missing=""
        for one in "$@"; do is_alive "$one" || missing="$missing $one"; done
        if [ -z "$missing" ]; then
            say "healthy: $* $((SECONDS - since)) s after the start"
            return 0
        fi
        [ $((SECONDS - since)) -lt "$health_s" ] || break
        sleep 0.2
    done
    say "no sign of life within $health_s s:$missing"
    ! has_systemd || for one in $missing; do say "see: journalctl -u $one -n 50"; done
    return 1
}

is_alive() { # it is up, has taken its lock since it was told to start anew, and has given a sign of life since that
    local lock sign="$home/state/heartbeat.json"
    [ "$1" = "$unit" ] || sign="$home/state/guardian_pulse"
    lock="$(lock_of "$1")"
    is_up "$1" && [ "$lock" -nt "$marker" ] && [ "$sign" -nt "$lock" ]
}

is_up() { if has_systemd; then is_active "$1"; else runs "$1"; fi; }

roll_back() {
    local told
    say "rolling back to $(short "$before")"
    rm -f "$prefix/.git/index.lock" || stuck # of a checkout that was cut off
    git_ checkout -q -f --detach "$before" || stuck
    if [ -d "$prefix/.venv.before" ]; then
        { rm -rf "$prefix/.venv" && mv "$prefix/.venv.before" "$prefix/.venv"; } || stuck
    fi
    install_packages || true # offline the old packages stand as they are
    around || true
    told="rolled back to $(short "$before") ($why); nothing else was changed"
    [ "$begun" = no ] || start_anew ||
        told="rolled back to $(short "$before") ($why), which gives no sign of life either: ai-lab doctor; journalctl -u $unit -n 50"
    rm -f "$marker"
    note "$told"
    die 1 "$told"
}

stuck() { # a full disk, mostly; the marker stays, so the next call begins here again
    local told
    told="NOT rolled back to $(short "$before") ($why), see above: make room on the disk, then run $0 again"
    note "$told" || true
    die 1 "$told"
}

leave() { # however this script ends: a program between two versions is rolled back
    [ -e "$marker" ] || return 0
    trap '' HUP INT TERM PIPE
    roll_back
}

refuse() { # $1: why the update is rolled back
    why="$1"
    die 1 "$1"
}

unheard() { # the terminal is gone: what is still to be said goes into the log
    exec >>"$deploy_log_folder/deploy.log" 2>&1
    exit 1
}

update() { # from $before to $1; whatever says no ends the script, and so rolls back
    as_lab "$prefix/lab" backup || die 1 "no sound backup, so no update: mend what it names, or restore an archive first"
    keep_packages || die 1 "the packages could not be kept for a roll-back, see above: make room on the disk; nothing was changed"
    printf 'before=%q\nran=%q\n' "$before" "$ran" >"$marker.new"
    sync "$marker.new"
    mv "$marker.new" "$marker"
    sync "$prefix"
    git_ checkout -q -f --detach "$1" || refuse "git could not bring it"
    install_packages || refuse "the packages could not be installed"
    chown -R "$user:$user" "$prefix/.numba_cache" 2>/dev/null || true
    around || refuse "units and cron line could not be written"
    doctor || refuse "the doctor says no"
    start_anew || refuse "what was started does not live"
    rm -f "$marker"
    rm -rf "$prefix/.venv.before"
}

need_root
need_installed
[ -d "$prefix/.git" ] || die 2 "$prefix was not installed from git; run the deploy/install.sh of the newer one, which replaces it"
one_at_a_time
if [ -e "$marker" ]; then
    [ "$dry" = no ] || die 1 "an update was cut off; without --dry-run it is rolled back"
    # shellcheck source=/dev/null  # two lines that update() wrote
    . "$marker"
    begun=yes # or a start since then did it
    say "an update was cut off; it is rolled back, then run this again"
    leave
fi
changes="$(git_ status --porcelain --untracked-files=no)" || die 2 "git does not take $prefix, see above: deploy/install.sh gives it back to root"
[ -z "$changes" ] || die 2 "$prefix has changes of its own: git -C $prefix status shows them, git -C $prefix stash puts them aside"
# with force: a tag that was moved upstream would else be taken for a network that is down, for ever
git_ fetch -q --tags --force origin || die 3 "upstream cannot be reached: $(git_ config remote.origin.url)"
before="$(git_ rev-parse HEAD)"
after="$(target)"
[ "$before" != "$after" ] || { say "already at $(short "$after")"; exit 0; }
for one in "$unit-guardian" "$unit"; do
    if runs "$one"; then
        ran="$ran $one"
    elif [ -n "$(holder "$one")" ]; then
        die 2 "process $(holder "$one") holds $(lock_of "$one"), and systemd did not start it: end it first"
    fi
done
stopped="$(stop_in_force)"
say "from $(short "$before") to $(short "$after"): $(git_ rev-list --count "$before..$after") commits"
[ -z "$stopped" ] || say "a stop is in force and stays so: $stopped"
[ "$dry" = no ] || exit 0

trap leave EXIT
trap unheard HUP PIPE
trap 'exit 1' INT TERM
update "$after"
if [ -n "$stopped" ]; then say "$stopped"; elif [ -z "$ran" ]; then say "not started: it did not run before"; fi
note "updated from $(short "$before") to $(short "$after")"
say "now at $(short "$after")"
