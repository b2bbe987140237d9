# Sourced by the scripts beside it: where things are on this machine, and how a command runs as the lab's user.
# shellcheck shell=bash disable=SC2034  # what is set here is used where it is sourced
conf="${LAB_CONF:-/etc/ai-trading-lab.conf}"
prefix=/opt/ai-trading-lab
home=/var/lib/ai-trading-lab
user=ai-lab
unit=ai-trading-lab
units=("$unit" "$unit-guardian")
deploy_log_folder=/var/log/ai-trading-lab
units_folder=/etc/systemd/system
sealed=/etc/credstore.encrypted/$unit.env # what seal.sh made of the keys
systemd_there=/run/systemd/system # whether systemd runs: sd_booted(3)
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

need_root() { [ "$(id -u)" = 0 ] || die 2 "run it as root: sudo $0"; }
need_installed() { [ -x "$prefix/lab" ] && [ -d "$home" ] || die 2 "no lab in $prefix and $home; run deploy/install.sh first"; }
has_systemd() { [ -d "$systemd_there" ]; }
is_active() { has_systemd && systemctl is-active --quiet "$1"; }

as_lab() { # a command as the lab's user, in the lab's home, with nothing of root's environment
    runuser -u "$user" -- env -i -C "$home" PATH=/usr/local/bin:/usr/bin:/bin HOME="$home" LANG=C.UTF-8 LAB_HOME="$home" "$@"
}

note() { # a line of the log that logrotate keeps short
    mkdir -p "$deploy_log_folder"
    printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$me" "$*" >>"$deploy_log_folder/deploy.log"
}
