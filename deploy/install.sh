#!/usr/bin/env bash
# Puts the lab onto a Debian 12 or Ubuntu 24.04 server: sudo deploy/install.sh. May be run again: it mends what is missing
# and touches no key, setting or state; a program that is not from git is replaced. --uninstall takes the program away and leaves the state; --purge that too.
#   --prefix DIR  where the program goes (/opt/ai-trading-lab), owned by root: the lab cannot change itself
#   --home DIR    where keys, settings, strategies, state and logs live (/var/lib/ai-trading-lab)
#   --user NAME   whom the lab runs as (ai-lab), without root
#   --no-apt      install no system packages, only say which are missing      --no-start  enable nothing, start nothing
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
source_tree="$(dirname "$here")"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
action=install use_apt=yes start=yes sure=no replaced=no told=""
was_prefix="$prefix" was_home="$home"

while [ "$#" -gt 0 ]; do
    case "$1" in
        --prefix) value_of "$@" && prefix="$2" && shift ;;
        --home) value_of "$@" && home="$2" && shift ;;
        --user) value_of "$@" && user="$2" && shift ;;
        --no-apt) use_apt=no ;;
        --no-start) start=no ;;
        --uninstall) action=uninstall ;;
        --purge) action=purge ;;
        --yes) sure=yes ;;
        *) die 2 "$1: unknown; see the head of $0" ;;
    esac
    shift
done

aloud() { # runs what brings packages, in English; its complaints are shown, and kept in $told
    told+="$(LC_ALL=C "$@" 2>&1 >/dev/null | awk '{ print; print >"/dev/stderr"; fflush() }')"
}

looks() { # why packages did not come, by what apt or pip printed
    case "${told,,}" in
        *"no space left"* | *"enough free space"* | *"quota exceeded"*)
            echo "it looks like a full disk: df -h; make room, then run this again" ;;
        *certificate_verify_failed* | *"certificate verif"* | *"self-signed"* | *"certificate has expired"* | *"not valid yet"* | *sslerror*)
            echo "it looks like a certificate that is not believed: is the clock right (date)? Behind a firewall that opens TLS, give its certificate: update-ca-certificates, and PIP_CERT" ;;
        *proxyerror* | *"to proxy"* | *"from proxy"* | *"proxy auth"* | *"tunnel connection failed"*)
            echo "it looks like the proxy: look at https_proxy, and at Acquire::http::Proxy in /etc/apt/apt.conf.d" ;;
        *"failure resolving"* | *"could not resolve"* | *nameresolution* | *"name or service not known"* | *"name resolution"* | *"no address associated"*)
            echo "it looks like the network: no name is found (DNS); look at /etc/resolv.conf" ;;
        *unreachable* | *"timed out"* | *timeout* | *"connection refused"* | *"connection reset"* | *"could not connect"* | *"no route"* | *"failed to fetch"* | *newconnectionerror*)
            echo "it looks like the network: nothing answers; let out 443 and, for apt, 80" ;;
        *) echo "what it says is above" ;;
    esac
}

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
        aloud env DEBIAN_FRONTEND=noninteractive apt-get update -q || die 3 "apt-get update failed; $(looks)"
        aloud env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" ||
            die 3 "apt-get could not install ${missing[*]}; $(looks)"
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
    getent group "$user" >/dev/null || die 2 "--user $user has no group of that name: groupadd $user, or give another"
}

program() {
    local code
    if [ ! -e "$prefix/lab" ]; then
        say "program to $prefix"
        [ ! -e "$prefix" ] || rmdir "$prefix" 2>/dev/null || die 2 "$prefix is there and is not the lab; give --prefix"
        bring "$prefix"
    elif [ ! -e "$prefix/.git" ] && [ ! "$source_tree" -ef "$prefix" ]; then # where it is from git, update.sh brings a newer one
        say "program in $prefix, which is not from git, anew"
        replace
    elif [ ! "$source_tree" -ef "$prefix" ]; then
        say "program in $prefix stays at $(git -C "$prefix" rev-parse --short HEAD); a newer one comes with $prefix/deploy/update.sh"
    fi
    chown -R root:root "$prefix"
    say "virtual environment in $prefix/.venv"
    aloud env -C / -u LAB_HOME "$prefix/lab" --help || {
        code=$?
        told+="$(cat "$prefix/.venv/.install.log" 2>/dev/null || true)"
        die "$code" "the packages did not come into $prefix/.venv; $(looks)"
    }
    "$prefix/.venv/bin/python" -m compileall -q "$prefix/src" "$prefix/ops" "$prefix/ai_brain" >/dev/null
    # what came with a narrow umask; keys do not belong here, but who put some must not find them opened
    find "$prefix" \( -name .env -o -path "$prefix/.numba_cache" \) -prune -o ! -type l -exec chmod a+rX {} +
    # the one place of the program that the lab writes to: what numba compiles
    install -d -o "$user" -g "$user" -m 750 "$prefix/.numba_cache"
    chown -R "$user:$user" "$prefix/.numba_cache"
}

bring() { # the source to $1, as a checkout where it is one
    local origin trust
    if [ -e "$source_tree/.git" ]; then
        trust="$(mktemp)" # the checkout may belong to whoever cloned it
        printf '[safe]\n\tdirectory = *\n' >"$trust"
        GIT_CONFIG_GLOBAL="$trust" git -c advice.detachedHead=false clone -q --no-hardlinks "$source_tree" "$1"
        origin="$(GIT_CONFIG_GLOBAL="$trust" git -C "$source_tree" config remote.origin.url || true)"
        rm -f "$trust"
        [ -z "$origin" ] || git -C "$1" remote set-url origin "$origin"
    else
        mkdir -p "$1"
        tar -C "$source_tree" --exclude=./.venv --exclude=./.numba_cache --exclude=./.env --exclude=./.home -cf - . | tar -C "$1" --no-same-permissions -xf -
    fi
}

replace() { # the old program by the source's; its packages stay where their lock did not change
    local kept
    is_program || die 2 "$prefix is there and is not the lab; give --prefix"
    rm -rf "$prefix.new"
    bring "$prefix.new"
    for kept in .venv .numba_cache .env; do [ ! -e "$prefix/$kept" ] || mv "$prefix/$kept" "$prefix.new/"; done
    rm -rf "$prefix"
    mv "$prefix.new" "$prefix"
    replaced=yes
}

is_program() { [ -x "$prefix/lab" ] && [ -f "$prefix/monitor_bot.sh" ]; }

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
    # what root wrote here since, by a copy or a command without ai-lab, the lab could not read or write
    for folder in .env .kill lab.yaml strategies state logs market recordings backups backtests; do
        [ ! -e "$home/$folder" ] || chown -R "$user:$user" "$home/$folder"
    done
    install -d "$(dirname "$conf")"
    printf 'prefix=%q\nhome=%q\nuser=%q\n' "$prefix" "$home" "$user" >"$conf"
    chmod 644 "$conf"
}

startable() { # by the lab's user, for what root alone can run says so nowhere later: cron is silent, and the unit is skipped
    as_lab "$prefix/lab" --help >/dev/null ||
        die 1 "$user cannot run $prefix/lab, see above; mend who may read $prefix and $(readlink -f "$prefix/.venv/bin/python"), then run this again"
}

around() { # the program's own, for it may be older than this script
    local own="$prefix/deploy/units.sh"
    [ -x "$own" ] || own="$here/units.sh"
    "$own"
}

begin() {
    if ! has_systemd; then
        [ "$replaced" = no ] || end_lab
        say "systemd does not run here: the units are written, not enabled; cron's watchman starts the lab"
        return
    fi
    [ "$replaced" = no ] || systemctl try-restart --no-block "${units[@]}" "$unit-page"
    if [ "$start" = yes ]; then
        systemctl enable -q "${units[@]}"
        # a stop in force, or no trading keys for the guardian: the unit's condition says no, which is no failure
        systemctl start --no-block "${units[@]}"
        say "enabled and started: ${units[*]}"
    fi
}

anew() { ! has_systemd || echo "systemctl restart ${units[*]}; "; }

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
    say "next: keys into $home/.env, then: $(anew)ai-lab doctor; ai-lab get_status.py"
}

nothing_held() { # the file tells; a file that cannot be read counts as something held
    [ ! -e "$home/state/current_positions.json" ] ||
        python3 -c 'import json, sys; book = json.load(open(sys.argv[1])); sys.exit(bool(book.get("lives") or book.get("live")))' \
            "$home/state/current_positions.json" 2>/dev/null
}

end_lab() { # every process of this program, by whom it was started; afterwards none is left, or this script ends here
    local found
    mapfile -t found < <(pgrep -u "$user" -f "$prefix/" || true)
    end_processes "${found[@]}"
    found=("$(pgrep -u "$user" -f "$prefix/" || true)")
    [ -z "${found[*]}" ] || die 1 "still running: ${found[*]}; end them first"
}

take_away() { # $1: also the state
    one_at_a_time
    [ "$sure" = yes ] || nothing_held ||
        die 1 "the lab holds a position that nobody would watch any more: ai-lab stop_trading.py first (or --yes)"
    if has_systemd; then
        systemctl disable -q --now "${units[@]}" "$unit-page" 2>/dev/null || true
    fi
    rm -f "$cron_folder/$unit" # before the processes end, or the watchman would start them again
    end_lab
    drop_ins remove
    rm -f "$units_folder/$unit"*.service "$logrotate_folder/$unit" "$commands_folder/ai-lab"
    ! has_systemd || systemctl daemon-reload
    if is_program; then rm -rf "$prefix"; fi
    if [ "$1" = keep ]; then
        say "gone: program, units, cron line. Kept: $home with keys, strategies, state and backups; user $user"
        return
    fi
    if [ "$sure" != yes ]; then
        local answer=""
        read -r -p "Remove $home with every key, strategy, record and backup? Type purge: " answer || true
        [ "$answer" = purge ] || die 1 "kept: $home"
    fi
    [ ! -d "$home/state" ] || rm -rf "$home"
    rm -rf "$deploy_log_folder" "$conf"
    rm -f "$sealed"
    ! id "$user" >/dev/null 2>&1 || userdel "$user" || die 1 "everything is gone but the user $user, whose processes still run: end them, then userdel $user"
    say "gone: everything, with $home and the user $user"
}

where() { # whole paths, of what systemd, cron and a shell all read alike; nothing is made beside a lab that is there
    local place
    prefix="$(realpath -m -- "$prefix")" home="$(realpath -m -- "$home")"
    for place in "$prefix" "$home"; do
        case "$place" in *[!A-Za-z0-9/._-]*) die 2 "$place: give a path of letters, digits and . _ - alone: units and cron line name it" ;; esac
    done
    case "$home/" in "$prefix"/*) die 2 "--home $home lies in --prefix $prefix, which is replaced and removed as a whole" ;; esac
    [ "$action" = install ] && [ -r "$conf" ] || return 0
    if [ -e "$was_prefix/lab" ] && [ ! "$was_prefix" -ef "$prefix" ]; then
        die 2 "a lab is in $was_prefix: first $was_prefix/deploy/install.sh --uninstall, which keeps its state"
    fi
    if [ -d "$was_home/state" ] && [ ! "$was_home" -ef "$home" ]; then
        die 2 "a lab's state is in $was_home: leave --home out; or --uninstall, mv $was_home $home, and run this again"
    fi
}

need_root
where
case "$action" in
    install)
        packages
        account
        one_at_a_time
        program
        state
        startable
        around
        begin
        advice
        note "installed $(git -C "$prefix" rev-parse --short HEAD 2>/dev/null || echo without git)"
        ;;
    uninstall) take_away keep ;;
    purge) take_away all ;;
esac
