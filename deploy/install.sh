#!/usr/bin/env bash
# Puts the lab onto a Debian 12 or Ubuntu 24.04 server: sudo deploy/install.sh. May be run again: it mends what is missing
# and touches no key, setting or state. --uninstall takes the program away and leaves the state; --purge that too.
#   --prefix DIR  where the program goes (/opt/ai-trading-lab), owned by root: the lab cannot change itself
#   --home DIR    where keys, settings, strategies, state and logs live (/var/lib/ai-trading-lab)
#   --user NAME   whom the lab runs as (ai-lab), without root
#   --no-apt      install no system packages, only say which are missing      --no-start  enable nothing, start nothing
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
source_tree="$(dirname "$here")"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
action=install use_apt=yes start=yes sure=no

while [ "$#" -gt 0 ]; do
    case "$1" in
        --prefix) prefix="$2" && shift ;;
        --home) home="$2" && shift ;;
        --user) user="$2" && shift ;;
        --no-apt) use_apt=no ;;
        --no-start) start=no ;;
        --uninstall) action=uninstall ;;
        --purge) action=purge ;;
        --yes) sure=yes ;;
        *) die 2 "$1: unknown; see the head of $0" ;;
    esac
    shift
done

packages() { # of Debian and Ubuntu alike; python is asked for its version afterwards
    local missing=() pair
    for pair in python3:python3 git:git curl:curl cron:cron logrotate:logrotate ps:procps runuser:util-linux; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ "${#missing[@]}" -gt 0 ]; then
        [ "$use_apt" = yes ] || die 2 "missing: ${missing[*]}; install them, or leave --no-apt out"
        say "installing ${missing[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null || die 3 "apt-get update failed; check the network"
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null ||
            die 3 "apt-get could not install ${missing[*]}"
    fi
    python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' ||
        die 2 "python3 is $(python3 --version); Python 3.11 to 3.14 is needed (Debian 12, Ubuntu 24.04)"
}

account() {
    if ! id "$user" >/dev/null 2>&1; then
        say "user $user, without a login, a password or root"
        useradd --system --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$user"
    fi
    [ "$(id -u "$user")" != 0 ] || die 2 "--user $user is root; the lab runs without it"
}

program() {
    if [ ! -e "$prefix/lab" ]; then
        say "program to $prefix"
        [ ! -e "$prefix" ] || rmdir "$prefix" 2>/dev/null || die 2 "$prefix is there and is not the lab; give --prefix"
        local origin trust
        if [ -e "$source_tree/.git" ]; then
            trust="$(mktemp)" # the checkout may belong to whoever cloned it
            printf '[safe]\n\tdirectory = *\n' >"$trust"
            GIT_CONFIG_GLOBAL="$trust" git -c advice.detachedHead=false clone -q --no-hardlinks "$source_tree" "$prefix"
            origin="$(GIT_CONFIG_GLOBAL="$trust" git -C "$source_tree" config remote.origin.url || true)"
            rm -f "$trust"
            [ -z "$origin" ] || git -C "$prefix" remote set-url origin "$origin"
        else
            mkdir -p "$prefix"
            cp -R "$source_tree/." "$prefix/"
        fi
    fi
    chown -R root:root "$prefix"
    chmod 755 "$prefix"
    say "virtual environment in $prefix/.venv"
    (cd / && env -u LAB_HOME "$prefix/lab" --help >/dev/null)
    "$prefix/.venv/bin/python" -m compileall -q "$prefix/src" "$prefix/ops" "$prefix/ai_brain" >/dev/null
    # the one place of the program that the lab writes to: what numba compiles
    install -d -o "$user" -g "$user" -m 750 "$prefix/.numba_cache"
    chown -R "$user:$user" "$prefix/.numba_cache"
}

state() {
    local folder
    install -d -o "$user" -g "$user" -m 750 "$home"
    for folder in strategies state logs; do install -d -o "$user" -g "$user" -m 750 "$home/$folder"; done
    install -d -o "$user" -g "$user" -m 700 "$home/backups"
    if [ ! -e "$home/.env" ]; then install -o "$user" -g "$user" -m 600 "$prefix/.env.example" "$home/.env"; fi
    chmod 600 "$home/.env"
    if [ ! -e "$home/lab.yaml" ]; then
        printf '# Only what differs from the defaults. Every setting, with its default and unit: %s\n' "$prefix/lab.yaml" |
            install -o "$user" -g "$user" -m 640 /dev/stdin "$home/lab.yaml"
    fi
    printf 'prefix=%q\nhome=%q\nuser=%q\n' "$prefix" "$home" "$user" >"$conf"
    chmod 644 "$conf"
}

fill() { # a template with this machine's names
    sed -e "/^@HARDENING@$/{r $here/systemd/hardening.conf
            d}" "$1" | sed -e "s|@PREFIX@|$prefix|g" -e "s|@HOME@|$home|g" -e "s|@USER@|$user|g" -e "s|@UNIT@|$unit|g" -e "s|@SEALED@|$sealed|g"
}

around() { # units, cron, logrotate, the one command
    local template supervisor=""
    install -d /etc/systemd/system /etc/cron.d /etc/logrotate.d /usr/local/bin
    for template in "$here"/systemd/*.service; do
        fill "$template" >"/etc/systemd/system/$(basename "$template")"
        chmod 644 "/etc/systemd/system/$(basename "$template")"
    done
    has_systemd && supervisor=systemd
    fill "$here/cron" | sed "s|@SUPERVISOR@|$supervisor|" >"/etc/cron.d/$unit"
    chmod 644 "/etc/cron.d/$unit"
    fill "$here/logrotate" >"/etc/logrotate.d/$unit"
    chmod 644 "/etc/logrotate.d/$unit"
    fill "$here/ai-lab" >/usr/local/bin/ai-lab
    chmod 755 /usr/local/bin/ai-lab
    mkdir -p "$deploy_log_folder"
    if command -v systemd-analyze >/dev/null && has_systemd; then
        systemd-analyze verify "/etc/systemd/system/$unit"*.service || die 1 "systemd does not take the units; see above"
    fi
}

begin() {
    if ! has_systemd; then
        say "systemd does not run here: the units are written, not enabled; cron's watchman starts the lab"
        return
    fi
    systemctl daemon-reload
    if [ "$start" = yes ]; then
        systemctl enable -q "${units[@]}"
        # a stop in force, or no trading keys for the guardian: the unit's condition says no, which is no failure
        systemctl start --no-block "${units[@]}"
        say "enabled and started: ${units[*]}"
    fi
}

advice() {
    local memory_mb swap_mb
    memory_mb="$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
    swap_mb="$(awk '/^SwapTotal/ {print int($2 / 1024)}' /proc/meminfo)"
    if [ $((memory_mb + swap_mb)) -lt 4000 ]; then
        say "swap: $memory_mb MB of memory and $swap_mb MB of swap are little for research beside the service; 2 GB more:"
        say "  fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile && echo '/swapfile none swap sw 0 0' >>/etc/fstab"
    else
        say "swap: $memory_mb MB of memory and $swap_mb MB of swap are enough"
    fi
    if has_systemd && [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ]; then
        say "time: synchronised"
    else
        say "time: NOT known to be synchronised; the exchange refuses signed calls of a wrong clock: apt install systemd-timesyncd && timedatectl set-ntp true"
    fi
    say "firewall: the lab listens on loopback only and needs no open port; let out 443 and DNS, let in nothing but ssh"
    say "next: keys into $home/.env, then: ai-lab doctor; ai-lab get_status.py"
}

nothing_held() { # the file tells; a file that cannot be read counts as something held
    [ ! -e "$home/state/current_positions.json" ] ||
        python3 -c 'import json, sys; book = json.load(open(sys.argv[1])); sys.exit(bool(book.get("lives") or book.get("live")))' \
            "$home/state/current_positions.json" 2>/dev/null
}

take_away() { # $1: also the state
    [ "$sure" = yes ] || nothing_held ||
        die 1 "the lab holds a position that nobody would watch any more: ai-lab stop_trading.py first (or --yes)"
    if has_systemd; then
        systemctl disable -q --now "${units[@]}" "$unit-page" 2>/dev/null || true
    fi
    rm -f "/etc/systemd/system/$unit"*.service.d/sealed.conf
    rmdir "/etc/systemd/system/$unit"*.service.d 2>/dev/null || true
    rm -f "/etc/systemd/system/$unit"*.service "/etc/cron.d/$unit" "/etc/logrotate.d/$unit" /usr/local/bin/ai-lab
    ! has_systemd || systemctl daemon-reload
    if [ -x "$prefix/lab" ] && [ -f "$prefix/monitor_bot.sh" ]; then rm -rf "$prefix"; fi
    if [ "$1" = keep ]; then
        say "gone: program, units, cron line. Kept: $home with keys, strategies, state and backups; user $user"
        return
    fi
    if [ "$sure" != yes ]; then
        read -r -p "Remove $home with every key, strategy, record and backup? Type purge: " answer
        [ "$answer" = purge ] || die 1 "kept: $home"
    fi
    [ ! -d "$home/state" ] || rm -rf "$home"
    rm -rf "$deploy_log_folder" "$conf"
    rm -f "$sealed"
    ! id "$user" >/dev/null 2>&1 || userdel "$user" || die 1 "everything is gone but the user $user, whose processes still run: end them, then userdel $user"
    say "gone: everything, with $home and the user $user"
}

need_root
case "$action" in
    install)
        packages
        account
        program
        state
        around
        begin
        advice
        note "installed $(git -C "$prefix" rev-parse --short HEAD 2>/dev/null || echo without git)"
        ;;
    uninstall) take_away keep ;;
    purge) take_away all ;;
esac
