# Sourced by the scripts beside it: where things are on this machine, and how a command runs as the lab's user.
# shellcheck shell=bash disable=SC2034  # what is set here is used where it is sourced
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # neither cron nor `su` gives root the folders of runuser and useradd
outside="${LAB_OUTSIDE:-}" # put before what is written outside prefix and home; a test's own folder
conf="${LAB_CONF:-$outside/etc/ai-trading-lab.conf}"
prefix=/opt/ai-trading-lab
home=/var/lib/ai-trading-lab
user=ai-lab
unit=ai-trading-lab
units=("$unit" "$unit-guardian")
deploy_log_folder=$outside/var/log/ai-trading-lab
units_folder=$outside/etc/systemd/system
cron_folder=$outside/etc/cron.d
logrotate_folder=$outside/etc/logrotate.d
commands_folder=$outside/usr/local/bin
sealed=$outside/etc/credstore.encrypted/$unit.env # what seal.sh made of the keys
systemd_there=$outside/run/systemd/system         # whether systemd runs: sd_booted(3)
umask 022                                         # the lab's user reads the program; what holds keys has an umask of its own
# shellcheck disable=SC1090  # three lines that install.sh wrote
[ -r "$conf" ] && . "$conf"

me="$(basename "$0")"
say() { echo "$me: $*"; }
die() { # $1: exit status
    local code="$1"
    shift
    echo "$me: $*" >&2
    exit "$code"
}

value_of() { [ "$#" -gt 1 ] || die 2 "$1 needs a value; see the head of $0"; }
need_root() { [ "$(id -u)" = 0 ] || die 2 "run it as root: sudo $0"; }
need_installed() { [ -x "$prefix/lab" ] && [ -d "$home" ] || die 2 "no lab in $prefix and $home; run deploy/install.sh first"; }
has_systemd() { [ -d "$systemd_there" ]; }
is_active() { has_systemd && systemctl is-active --quiet "$1"; }

runs() { # a unit, also while systemd starts it again and again; without systemd: the process that holds its lock
    if has_systemd; then
        case "$(systemctl is-active "$1")" in active | activating | reloading) return 0 ;; *) return 1 ;; esac
    fi
    [ -n "$(holder "$1")" ]
}

lock_of() { case "$1" in *-guardian) echo "$home/state/guardian.lock" ;; *) echo "$home/state/lab.lock" ;; esac; }

holder() { # the process that holds a unit's lock, whoever started it; asked of the lock itself, for numbers come again
    local lock pid
    lock="$(lock_of "$1")"
    pid="$(cat "$lock" 2>/dev/null)" && [ -n "$pid" ] || return 0
    # not of one that has gone: who asks holds the lock for a moment, and whoever just starts would be refused it
    ! lives "$pid" || flock -n "$lock" true || echo "$pid"
}

lives() { grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

end_processes() { # each has twenty seconds to go by itself, as its unit would give it
    local pid waited=0
    for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "$@"; do
        while lives "$pid" && [ "$waited" -lt 100 ]; do
            sleep 0.2
            waited=$((waited + 1))
        done
        ! lives "$pid" || kill -KILL "$pid" 2>/dev/null || true
    done
}

one_at_a_time() { # of what changes the program
    mkdir -p "$deploy_log_folder"
    exec 8>"$deploy_log_folder/lock"
    flock -n 8 || die 2 "another install.sh or update.sh works on $prefix; wait for it"
}

as_lab() { # a command as the lab's user, in the lab's home, with nothing of root's environment
    runuser -u "$user" -- env -i -C "$home" PATH=/usr/local/bin:/usr/bin:/bin HOME="$home" LANG=C.UTF-8 LAB_HOME="$home" "$@"
}

drop_ins() { # $1: put or remove; what hands the sealed keys to the units
    local one folder
    for one in "${units[@]}" "$unit-page"; do
        folder="$units_folder/$one.service.d"
        if [ "$1" = put ]; then
            install -d -m 755 "$folder"
            printf '# Written by deploy/seal.sh.\n[Service]\nLoadCredentialEncrypted=lab.env:%s\n' "$sealed" >"$folder/sealed.conf"
            chmod 644 "$folder/sealed.conf"
        else
            rm -f "$folder/sealed.conf"
            rmdir "$folder" 2>/dev/null || true
        fi
    done
    ! has_systemd || systemctl daemon-reload
}

note() { # a line of the log that logrotate keeps short
    mkdir -p "$deploy_log_folder"
    printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$me" "$*" >>"$deploy_log_folder/deploy.log"
}
