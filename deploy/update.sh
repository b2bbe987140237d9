#!/usr/bin/env bash
# A newer lab, or a given one: sudo update.sh [TAG|COMMIT]. Backs up, brings the program to it, asks the doctor, starts the
# service anew and waits for a heartbeat. What fails is rolled back: the old program with its old packages runs again.
# A stop stays a stop: a lab that is stopped, or that did not run, is updated and not started.
#   --dry-run  only say what would be done          HEALTH_S=600  how long a heartbeat is waited for
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
health_s="${HEALTH_S:-600}"
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
        git_ rev-parse -q --verify origin/HEAD || git_ rev-parse -q --verify FETCH_HEAD || die 2 "upstream names no branch; give a tag"
    fi
}

keep_packages() { # hard links, so that a roll-back needs no network; the stamps are written in place, so they are copied
    rm -rf "$prefix/.venv.before"
    [ -d "$prefix/.venv" ] || return 0
    cp -al "$prefix/.venv" "$prefix/.venv.before"
    local stamp
    for stamp in "$prefix"/.venv/.stamp-*; do
        [ -e "$stamp" ] && cp -p --remove-destination "$stamp" "$prefix/.venv.before/"
    done
    return 0
}

install_packages() { (cd / && env -u LAB_HOME "$prefix/lab" --help >/dev/null); }

doctor() { as_lab "$prefix/lab" doctor --offline; }

healthy() { # a heartbeat younger than the start, from a unit that runs
    local since="$1" waited=0 beat
    while [ "$waited" -lt "$health_s" ]; do
        beat="$(stat -c %Y "$home/state/heartbeat.json" 2>/dev/null || echo 0)"
        if [ "$beat" -ge "$since" ] && is_active "$unit"; then
            say "healthy: a heartbeat $((beat - since)) s after the start"
            return 0
        fi
        sleep 2
        waited=$((waited + 2))
    done
    say "no heartbeat within $health_s s"
    return 1
}

start_anew() { # $1: what ran before; a guardian first, so that nobody is unwatched for long
    local one since
    since="$(date +%s)"
    for one in "${units[@]}"; do
        case " $1 " in *" $one "*) systemctl restart --no-block "$one" ;; esac
    done
    case " $1 " in *" $unit "*) healthy "$since" ;; esac
}

roll_back() { # $1: commit, $2: what ran before
    say "rolling back to $(short "$1")"
    git_ checkout -q --detach "$1"
    if [ -d "$prefix/.venv.before" ]; then
        rm -rf "$prefix/.venv"
        mv "$prefix/.venv.before" "$prefix/.venv"
    fi
    install_packages || true # offline the old packages stand as they are
    if start_anew "$2"; then
        note "rolled back to $(short "$1")"
        die 1 "rolled back to $(short "$1"); nothing else was changed"
    fi
    note "rolled back to $(short "$1"), not healthy"
    die 1 "rolled back to $(short "$1"), which gives no heartbeat either: ai-lab doctor; journalctl -u $unit -n 50"
}

need_root
need_installed
[ -d "$prefix/.git" ] || die 2 "$prefix was not installed from git; install the newer one over it with its own deploy/install.sh"
[ -z "$(git_ status --porcelain --untracked-files=no)" ] || die 2 "$prefix has changes of its own: git -C $prefix status"
git_ fetch -q --tags origin || die 3 "upstream cannot be reached: $(git_ config remote.origin.url)"
before="$(git_ rev-parse HEAD)"
after="$(target)"
[ "$before" != "$after" ] || { say "already at $(short "$after")"; exit 0; }
ran=""
for one in "${units[@]}"; do is_active "$one" && ran="$ran $one"; done
stopped="$(as_lab "$prefix/monitor_bot.sh" --may-start || true)"
say "from $(short "$before") to $(short "$after"): $(git_ rev-list --count "$before..$after") commits"
[ -z "$stopped" ] || say "a stop is in force and stays so: $stopped"
[ "$dry" = no ] || exit 0

as_lab "$prefix/lab" backup || die 1 "no backup, so no update"
keep_packages
git_ checkout -q --detach "$after"
if ! install_packages; then
    say "the packages could not be installed"
    roll_back "$before" ""
fi
chown -R "$user:$user" "$prefix/.numba_cache" 2>/dev/null || true
if ! doctor; then
    say "the doctor says no"
    roll_back "$before" ""
fi
if [ -n "$stopped" ] || [ -z "$ran" ]; then
    say "${stopped:-not started: it did not run before}"
else
    start_anew "$ran" || roll_back "$before" "$ran"
fi
rm -rf "$prefix/.venv.before"
note "updated from $(short "$before") to $(short "$after")"
say "now at $(short "$after")"
