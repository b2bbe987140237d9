#!/usr/bin/env bash
# The lab's watchman, for cron, every five minutes:
#   */5 * * * * /path/to/lab/monitor_bot.sh
# Alive? Heartbeat young? Memory, disk and logs within bounds? If not: restart, and say so. A stopped lab stays stopped.
# The guardian is kept alive beside it wherever there are trading keys, also while stopped: it only ever closes.
# Needs bash, coreutils, curl (for alerts) and nothing of Python, so that it works when the lab does not.
# MONITOR_SUPERVISOR=systemd, or containers: units (deploy/install.sh) or containers (deploy/compose.yaml) start the
# processes; the watchman ends what is frozen or too large, so that it is started anew, and tells of what is not.
# monitor_bot.sh --may-start: exit status 1 and why, while a stop is in force. --may-guard: 1 without trading keys.
# monitor_bot.sh --when-allowed COMMAND...: waits while a stop is in force, then becomes the command (a container's start);
# --when-keyed COMMAND...: waits while there are no trading keys. --every SECONDS: a round, and again, in place of cron.
set -uo pipefail
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
home="${LAB_HOME:-$root}"
if [ -z "${LAB_HOME:-}" ] && [ -e "$root/.home" ]; then # a server's: it would start a second lab here, as whoever calls
    echo "monitor_bot.sh: the lab of $root is in $(cat "$root/.home"): set LAB_HOME, and be its user" >&2
    exit 2
fi
state="$home/state"
logs="$home/logs"
monitor_log="$logs/monitor.log"
notes="$state" # where the watchman remembers what it told
max_heartbeat_age_s="${MONITOR_MAX_HEARTBEAT_AGE_S:-300}"
max_start_s="${MONITOR_MAX_START_S:-1800}" # a first start compiles, and fetches two years of candles
max_rss_mb="${MONITOR_MAX_RSS_MB:-900}"
max_log_mb="${MONITOR_MAX_LOG_MB:-50}"
min_disk_mb="${MONITOR_MIN_DISK_MB:-1000}"
supervisor="${MONITOR_SUPERVISOR:-}"
units="${MONITOR_UNITS:-/etc/systemd/system}"
alert_from_restarts=3
clock_slack_s=60 # so much a clock may be put right by without a word
max_rest_s=900 # after a longer rest between two rounds the machine slept, and the service with it
start_command=("$root/lab" run)
guardian_command=("$root/lab" guardian)
[ -z "${MONITOR_START_COMMAND:-}" ] || read -ra start_command <<<"$MONITOR_START_COMMAND"
[ -z "${MONITOR_GUARDIAN_COMMAND:-}" ] || read -ra guardian_command <<<"$MONITOR_GUARDIAN_COMMAND"
mkdir -p "$state" "$logs"

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&8; }

setting() { # a value of the keys that systemd opened or of .env, without running the file; the environment wins
    local value="${!1:-}" file
    for file in "${CREDENTIALS_DIRECTORY:-}/lab.env" "$home/.env"; do
        [ -z "$value" ] && [ -f "$file" ] || continue
        # line by line as the lab reads it: export, quotes, a comment behind the value, line ends of Windows
        value="$(tr '\r' '\n' <"$file" | sed -nE "s/^[[:space:]]*(export[[:space:]]+)?'?$1'?[[:space:]]*=[[:space:]]*//; T
            /^'/ { s/^'([^']*)'[[:space:]]*(#.*)?\$/\1/p; d }
            /^\"/ { s/^\"([^\"]*)\"[[:space:]]*(#.*)?\$/\1/p; d }
            s/[[:space:]]+(#.*)?\$//; p" | tail -n 1)"
    done
    printf '%s' "$value"
}

alert() { # one line to Telegram; the token goes through standard input, never on a command line; false: not delivered
    say "alert: $1"
    local token chat
    token="$(setting TELEGRAM_TOKEN)"
    chat="$(setting TELEGRAM_CHAT_ID)"
    if [ -z "$token" ] || [ -z "$chat" ]; then
        return
    fi
    printf 'url = "%s/bot%s/sendMessage"\n' "${TELEGRAM_BASE_URL:-https://api.telegram.org}" "$token" |
        curl -sS --fail --max-time 20 -o /dev/null --config - --data-urlencode "chat_id=$chat" --data-urlencode "text=🚨 $1" 2>&8 ||
        { say "alert not delivered"; return 1; }
}

rotate_log() { # keeps three old ones; the running file is copied and emptied, so its writer keeps its place
    local file="$1"
    [ -f "$file" ] || return
    [ "$(du -m "$file" | cut -f1)" -lt "$max_log_mb" ] && return
    if ! cp "$file" "$file.0" 2>/dev/null; then # no room: the old ones are not given up for half a copy
        rm -f "$file.0"
        say "not rotated: $(basename "$file"): no room for a copy"
        return
    fi
    [ -f "$file.2" ] && mv -f "$file.2" "$file.3"
    [ -f "$file.1" ] && mv -f "$file.1" "$file.2"
    mv -f "$file.0" "$file.1"
    : >"$file"
    say "rotated $(basename "$file") at ${max_log_mb} MB"
}

stop_in_force() { # why the lab must not run; nothing when it may
    [ -e "$state/TRADING_STOPPED.json" ] && { echo "state/TRADING_STOPPED.json: stopped by a human until stop_trading.py --release"; return; }
    killed
}

killed() { # which kill switch is on; nothing when none is
    local file kill
    for file in state/KILL_SWITCH .kill; do
        [ -e "$home/$file" ] || [ -L "$home/$file" ] || continue
        echo "$file is there"
        return
    done
    kill="$(setting KILL)"
    [ -n "$kill" ] && [ "$kill" != "0" ] && echo "KILL=$kill"
}

flat_demanded() { # as the lab reads it: a kill switch, or a stop that does not keep positions; a torn file keeps them
    [ -n "$(killed)" ] && return
    local facts
    facts="$(tr -d '[:space:]' 2>/dev/null <"$state/TRADING_STOPPED.json")"
    case "$facts" in
        *'"keep_positions":true'*) return 1 ;;
        '{'*'}') return 0 ;;
        *) return 1 ;;
    esac
}

age_s() { # of a file; one that is not there, or from the future because the clock was set back, is older than all
    local renewed now
    renewed="$(stat -c %Y "$1" 2>/dev/null || echo 0)"
    now="$(date +%s)"
    [ "$renewed" -le "$((now + clock_slack_s))" ] || renewed=0
    echo "$((renewed < now ? now - renewed : 0))"
}

unjudged() { # why no heartbeat may be judged in this round: its age says nothing of the service; nothing where it does
    local noted="$state/monitor_clock" booted before by rested_s slept=""
    booted="$(($(date +%s) - $(cut -d. -f1 /proc/uptime)))"
    before="$(head -n 1 "$noted" 2>/dev/null)"
    by="$((booted - ${before:-$booted}))"
    rested_s="$(age_s "$noted")"
    if [ -n "$before" ] && [ "$rested_s" -gt "$max_rest_s" ] && ! grep -qx slept "$noted"; then
        slept=slept # once: where cron comes so seldom, what is frozen is ended one round later
    fi
    printf '%s\n%s\n' "$booted" "$slept" >"$noted" || slept=""
    if [ "${by#-}" -gt "$clock_slack_s" ]; then
        echo "set by ${by} s, or the machine began anew"
    elif [ -n "$slept" ]; then
        echo "no round for ${rested_s} s: the machine slept, or cron rested"
    fi
}

why_frozen() { # $1 process, $2 file that it renews, $3 seconds until it must for the first time; nothing while it lives
    local began age
    [ -z "$unjudged" ] || return
    began="$(ps -o etimes= -p "$1" | tr -d ' ')" # by the machine's own count, whatever the clock says
    began="${began:-0}"
    age="$(age_s "$2")"
    if [ "$age" -gt "$began" ]; then
        [ "$began" -gt "$3" ] && echo "no heartbeat since its start ${began} s ago, limit $3 s"
    elif [ "$age" -gt "$max_heartbeat_age_s" ]; then
        echo "heartbeat ${age} s old, limit ${max_heartbeat_age_s} s"
    fi
}

number_in() { # of a file of the watchman's; nothing where a power cut left zeros or half a line of it
    tr -d '\0' 2>/dev/null <"$1" | grep -m 1 -xE '[1-9][0-9]{0,10}'
}

alert_each() { # $1 name, $2 seconds between two, $3 words, $4 doubling: an alert, again only after so long, until delivered
    local stamp="$notes/monitor_$1" gap="$2" next="$2" told
    told="$(number_in "$stamp")"
    if [ "${4:-}" = doubling ] && [ -n "$told" ]; then
        gap="$told"
        next="$((gap < 43200 ? gap * 2 : 86400))"
    fi
    [ "$(age_s "$stamp")" -lt "$gap" ] || { alert "$3" && echo "$next" >"$stamp"; }
}

nobody_closes() { # flat is demanded and no lab lives to see to it: say so once an hour
    local switch
    for switch in "$state/KILL_SWITCH" "$home/.kill" "$state/TRADING_STOPPED.json"; do
        # stop_trading.py has seen everything flat since this switch was thrown
        [ -e "$switch" ] && [ "$state/seen_flat.json" -nt "$switch" ] && return
    done
    alert_each not_flat 3600 "AI Trading Lab: stop in force and the lab does not run: make sure that everything is flat: python stop_trading.py"
}

disk() { # a full disk stops audit, intents and heartbeat: say so while there is time
    local free_mb
    free_mb="$(df -Pm "$home" | awk 'NR == 2 {print $4}')"
    if [ "${free_mb:-0}" -lt "$min_disk_mb" ]; then
        say "disk: ${free_mb:-?} MB free, limit ${min_disk_mb} MB"
        alert_each disk 14400 "AI Trading Lab: ${free_mb:-?} MB of disk left, limit ${min_disk_mb} MB. Make room in $home: recordings and market can be fetched again"
    fi
}

cannot_write() { # nothing is ended: it could not start again, and one that runs goes on once the disk takes something
    notes="${XDG_RUNTIME_DIR:-/dev/shm}/ai-lab-watchman-$UID-$(printf %s "$home" | cksum | cut -d' ' -f1)"
    mkdir -m 700 "$notes" 2>/dev/null
    [ -O "$notes" ] || notes="$state"
    say "cannot be written: $state/monitor.lock"
    disk
    alert_each cannot_write 3600 "AI Trading Lab: $state cannot be written to: nothing is opened, and what ends does not start again. See docs/run-book.md, The state directory is read-only"
}

no_trade() { # once a day: nothing executed in 24 h, and why not, most often; also told where live trading is armed
    local stamp="$state/monitor_no_trade" top
    [ -f "$state/audit.jsonl" ] || return
    [ "$(age_s "$stamp")" -lt 86400 ] && return
    touch "$stamp"
    top="$(tail -n 3000 "$state/audit.jsonl" | awk -v from="$(($(date +%s) - 86400))" '
        match($0, /"at_ms":[0-9]+/) && substr($0, RSTART + 8, RLENGTH - 8) / 1000 >= from {
            cycles++
            if (/"status":"EXECUTED"/) executed++
            else if (match($0, /"reason":"[A-Z_]+"/)) reasons[substr($0, RSTART + 10, RLENGTH - 11)]++
        }
        END {
            if (!cycles || executed) exit
            for (reason in reasons) if (reasons[reason] > most) { most = reasons[reason]; top = reason }
            print top " " most "× of " cycles " cycles"
        }')"
    [ -z "$top" ] && return
    say "no trade in 24 h, most often because: $top"
    # what holds a carry for weeks is doing its work
    if [ -f "$state/live_armed.json" ] && [ "${top%% *}" != HOLDING ]; then
        alert "AI Trading Lab: armed, and no trade in 24 h, most often because: $top" || rm -f "$stamp"
    fi
}

service_pid() { holder "$state/lab.lock" run; }

held() { # a lock file: whether somebody holds it. Its number says nothing: after a restart another process may have it
    local pid
    pid="$(cat "$1" 2>/dev/null)"
    [ -n "$pid" ] && [ -d "/proc/$pid" ] && ! flock -n "$1" true 2>/dev/null
}

holder() { # $1 lock file, $2 run or guardian: the process of that command that holds it
    local pid
    held "$1" || return 0
    pid="$(cat "$1")"
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "ops\.cli $2 " && echo "$pid"
}

end_process() { # ten seconds to go by itself
    local pid="$1" waited=0
    kill -TERM "$pid" 2>/dev/null
    while [ -d "/proc/$pid" ] && [ "$waited" -lt 50 ]; do
        sleep 0.2
        waited=$((waited + 1))
    done
    [ -d "/proc/$pid" ] && kill -KILL "$pid" 2>/dev/null
}

has_keys() { # trading keys in .env, or sealed where only systemd opens them
    [ -n "$(setting BINANCE_API_KEY)" ] || { keys_are_sealed && compgen -G "$units/*-guardian.service.d/sealed.conf" >/dev/null; }
}

keys_are_sealed() { grep -q '^# Sealed by deploy/seal.sh: .*BINANCE_API_KEY' "$home/.env" 2>/dev/null; }

nothing_to_guard() {
    if has_keys; then return; fi
    if keys_are_sealed; then
        echo "the trading keys were sealed on another machine: write them into $home/.env, then deploy/seal.sh again"
    else
        echo "there are no trading keys, so nothing to guard"
    fi
}

guard() { # a guardian that is dead, or that has not looked for minutes, is started anew
    local pid why="no process"
    has_keys || return 0
    pid="$(holder "$state/guardian.lock" guardian)"
    if [ -n "$pid" ]; then
        [ "$(age_s "$state/guardian_pulse")" -gt "$max_heartbeat_age_s" ] || rm -f "$state/monitor_starting_guardian"
        why="$(why_frozen "$pid" "$state/guardian_pulse" "$max_heartbeat_age_s")"
        [ -n "$why" ] || return 0
        end_process "$pid"
        why="process $pid has not looked: $why"
    elif [ -n "$supervisor" ]; then
        absent guardian "no guardian watches" "$max_heartbeat_age_s"
        return 0
    fi
    say "guardian restart: $why"
    [ -z "$supervisor" ] || return 0
    LAB_HOME="$home" setsid nohup "${guardian_command[@]}" >>"$logs/guardian.out" 2>&1 </dev/null 8>&- 9>&- &
}

restart() {
    local why="$1" pid="$2" may_take_s="$max_start_s"
    if [ -z "$pid" ] && held "$state/lab.lock"; then # by a restore or a drill, which ends by itself
        why="process $(cat "$state/lab.lock"), which is no service, holds state/lab.lock"
        say "not started: $why"
        [ "$(age_s "$state/lab.lock")" -lt 3600 ] ||
            alert_each no_service 3600 "AI Trading Lab: no process, for an hour: $why. See what it is: ps $(cat "$state/lab.lock")"
        return
    fi
    if [ -n "$supervisor" ] && [ -z "$pid" ]; then
        [ ! -e "$state/heartbeat.json" ] || may_take_s="$((max_start_s / 2))" # it ran before: there is less to do
        absent service "$why" "$may_take_s"
        return
    fi
    [ -z "$pid" ] || end_process "$pid" # before anything is told: what is frozen may hold a position
    say "restart: $why"
    if [ -z "$supervisor" ]; then
        LAB_HOME="$home" setsid nohup "${start_command[@]}" >>"$logs/service.out" 2>&1 </dev/null 8>&- 9>&- &
    fi
    rm -f "$state/monitor_pid" # this one is counted
    count_restart "$why"
}

absent() { # $1 service or guardian, $2 what is so, $3 seconds that its start may take: a supervisor starts it; told where it does not
    local unit=ai-trading-lab since="$state/monitor_starting_$1" by_hand
    [ "$1" = service ] || unit="$unit-$1"
    if [ "$supervisor" = systemd ] && [ "$(systemctl show -p ActiveState --value "$unit" 2>/dev/null)" = activating ]; then
        [ -e "$since" ] || touch "$since"
        say "not there: $2; systemd is starting it"
        [ "$(age_s "$since")" -lt "$3" ] ||
            alert_each "no_$1" 3600 "AI Trading Lab: $2: systemd has been starting it for $(($3 / 60)) min and more, and it gives no heartbeat; see: journalctl -u $unit -n 50"
        return
    fi
    rm -f "$since"
    say "not there: $2; $supervisor starts it unless told not to"
    by_hand="sudo systemctl start $unit"
    [ "$supervisor" = systemd ] || by_hand="docker compose -f deploy/compose.yaml up -d $1"
    alert_each "no_$1" 3600 "AI Trading Lab: $2; unless you stopped it, run: $by_hand"
}

count_restart() { # $1 why: three within an hour are an alert, then again after 10 min, 20 min, ... a day
    local count now
    now="$(date +%s)"
    echo "$now" >>"$state/monitor_restarts"
    awk -v now="$now" '$1 >= now - 3600 && $1 <= now' "$state/monitor_restarts" >"$state/monitor_restarts.tmp" &&
        mv "$state/monitor_restarts.tmp" "$state/monitor_restarts"
    count="$(wc -l <"$state/monitor_restarts")"
    if [ "$count" -ge "$alert_from_restarts" ]; then
        alert_each many_restarts 600 "AI Trading Lab: $count restarts within an hour, last because: $1. See logs/ai_lab.log" doubling
    else
        rm -f "$state/monitor_many_restarts"
    fi
}

restarted_meanwhile() { # $1 the process: a supervisor starts anew what died between two rounds, and tells nobody
    local last
    last="$(cat "$state/monitor_pid" 2>/dev/null)"
    echo "$1" >"$state/monitor_pid"
    [ -n "$supervisor" ] && [ -n "$last" ] && [ "$last" != "$1" ] || return 0
    if [ "$supervisor" = systemd ] && [ "$(systemctl show -p NRestarts --value ai-trading-lab 2>/dev/null)" = 0 ]; then
        say "process $last was ended and $1 started by hand" # or by an update
        return 0
    fi
    say "restart: process $last ended, $supervisor started $1"
    count_restart "process $last ended by itself"
}

why_absent() { # what became of the process that last held the lock
    local pid
    pid="$(cat "$state/lab.lock" 2>/dev/null)"
    if [ -n "$pid" ] && grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null; then
        echo "process $pid is a zombie"
    else
        echo "no process"
    fi
}

answer() { # $1 words, $2 why not: a unit's condition
    [ -n "$2" ] || exit 0
    echo "$1: $2"
    exit 1
}

wait_while() { # $1: a function that says why to wait, or nothing; each reason is told once
    local why told=""
    while why="$($1)" && [ -n "$why" ]; do
        [ "$why" = "$told" ] || echo "waiting: $why"
        told="$why"
        sleep 5 &
        wait $!
    done
}

case "${1:-}" in
    --may-start) answer "not started" "$(stop_in_force)" ;;
    --may-guard) answer "no guardian" "$(nothing_to_guard)" ;;
    --when-allowed) shift; wait_while stop_in_force; exec "$@" ;;
    --when-keyed) shift; wait_while nothing_to_guard; exec "$@" ;;
    --every)
        while :; do
            sleep "$2" &
            wait $!
            "$root/monitor_bot.sh"
        done
        ;;
esac

{ exec 8>>"$monitor_log"; } 2>/dev/null || exec 8>&2 # an alert needs no disk
if ! { exec 9>"$state/monitor.lock"; } 2>/dev/null; then
    cannot_write
    exit 0
fi
flock -n 9
[ "$?" = 1 ] && exit 0 # the last round still works
if ! echo "$$" 2>/dev/null >&9; then # a full disk opens the file all the same
    cannot_write
    exit 0
fi

for one in ai_lab.log service.out guardian.out monitor.log; do rotate_log "$logs/$one"; done
disk
unjudged="$(unjudged)"
[ -z "$unjudged" ] || say "clock: $unjudged: no heartbeat is judged in this round"
guard

pid="$(service_pid)"
why_stopped="$(stop_in_force)"
if [ -n "$why_stopped" ]; then
    say "stopped, not restarting: $why_stopped"
    rm -f "$state/monitor_starting_service"
    why="no process"
    [ -z "$pid" ] || why="$(why_frozen "$pid" "$state/heartbeat.json" "$max_heartbeat_age_s")"
    if flat_demanded && [ -n "$why" ]; then
        nobody_closes
    fi
    exit 0
fi
if [ -z "$pid" ]; then
    restart "$(why_absent)" ""
    exit 0
fi
restarted_meanwhile "$pid"
no_trade
why="$(why_frozen "$pid" "$state/heartbeat.json" "$max_start_s")"
rss_mb="$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")"
[ -n "$why" ] || [ "${rss_mb:-0}" -le "$max_rss_mb" ] || why="memory ${rss_mb} MB, limit ${max_rss_mb} MB"
if [ -n "$why" ]; then
    restart "$why" "$pid"
    exit 0
fi
age="$(age_s "$state/heartbeat.json")"
[ "$age" -gt "$max_heartbeat_age_s" ] || rm -f "$state/monitor_starting_service"
say "ok: pid $pid, heartbeat ${age} s old, ${rss_mb:-?} MB"
