#!/usr/bin/env bash
# The lab's watchman, for cron, every five minutes:
#   */5 * * * * /path/to/lab/monitor_bot.sh
# Alive? Heartbeat young? Memory and logs within bounds? If not: restart, and say so. A stopped lab stays stopped.
# The guardian is kept alive beside it wherever there are trading keys, also while stopped: it only ever closes.
# Needs bash, coreutils, curl (for alerts) and nothing of Python, so that it works when the lab does not.
set -uo pipefail
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
home="${LAB_HOME:-$root}"
state="$home/state"
logs="$home/logs"
monitor_log="$logs/monitor.log"
max_heartbeat_age_s="${MONITOR_MAX_HEARTBEAT_AGE_S:-300}"
max_rss_mb="${MONITOR_MAX_RSS_MB:-900}"
max_log_mb="${MONITOR_MAX_LOG_MB:-50}"
alert_from_restarts=3
start_command="${MONITOR_START_COMMAND:-$root/lab run}"
guardian_command="${MONITOR_GUARDIAN_COMMAND:-$root/lab guardian}"
mkdir -p "$state" "$logs"

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$monitor_log"; }

setting() { # a value of .env, without running the file; the environment wins
    local value="${!1:-}"
    if [ -z "$value" ] && [ -f "$home/.env" ]; then
        value="$(sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$home/.env" | tail -n 1 | sed 's/^["'\'']//; s/["'\'']$//')"
    fi
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
        curl -sS --fail --max-time 20 -o /dev/null --config - --data-urlencode "chat_id=$chat" --data-urlencode "text=🚨 $1" 2>>"$monitor_log" ||
        { say "alert not delivered"; return 1; }
}

rotate_log() { # keeps three old ones; the running file is copied and emptied, so its writer keeps its place
    local file="$1"
    [ -f "$file" ] || return
    [ "$(du -m "$file" | cut -f1)" -lt "$max_log_mb" ] && return
    [ -f "$file.2" ] && mv -f "$file.2" "$file.3"
    [ -f "$file.1" ] && mv -f "$file.1" "$file.2"
    cp "$file" "$file.1" && : >"$file"
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

heartbeat_age_s() { echo "$(($(date +%s) - $(stat -c %Y "$state/heartbeat.json" 2>/dev/null || echo 0)))"; }

started_s_ago() { ps -o etimes= -p "$1" | tr -d ' '; }

frozen() { # a process long enough there, whose heartbeat is old
    local age
    age="$(started_s_ago "$1")"
    [ "$(heartbeat_age_s)" -gt "$max_heartbeat_age_s" ] && [ "${age:-0}" -gt "$max_heartbeat_age_s" ]
}

nobody_closes() { # flat is demanded and no lab lives to see to it: say so once an hour, until it is delivered
    local stamp="$state/monitor_not_flat" last switch
    for switch in "$state/KILL_SWITCH" "$home/.kill" "$state/TRADING_STOPPED.json"; do
        # stop_trading.py has seen everything flat since this switch was thrown
        [ -e "$switch" ] && [ "$state/seen_flat.json" -nt "$switch" ] && return
    done
    last="$(stat -c %Y "$stamp" 2>/dev/null || echo 0)"
    [ "$(($(date +%s) - last))" -lt 3600 ] && return
    alert "AI Trading Lab: stop in force and the lab does not run: make sure that everything is flat: python stop_trading.py" &&
        touch "$stamp"
}

service_pid() { holder "$state/lab.lock"; }

holder() { # of a lock of ours, if it lives and is no zombie
    local pid
    pid="$(cat "$1" 2>/dev/null)"
    [ -n "$pid" ] && [ -r "/proc/$pid/status" ] || return 0
    grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" && return 0
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'ops' && echo "$pid"
}

end_process() { # ten seconds to go by itself
    local pid="$1" waited=0
    kill -TERM "$pid" 2>/dev/null
    while [ -d "/proc/$pid" ] && [ "$waited" -lt 10 ]; do
        sleep 1
        waited=$((waited + 1))
    done
    [ -d "/proc/$pid" ] && kill -KILL "$pid" 2>/dev/null
}

guard() { # a guardian that is dead, or that has not looked for minutes, is started anew
    local pid age
    [ -n "$(setting BINANCE_API_KEY)" ] || return 0
    pid="$(holder "$state/guardian.lock")"
    age="$(($(date +%s) - $(stat -c %Y "$state/guardian_pulse" 2>/dev/null || echo 0)))"
    if [ -n "$pid" ]; then
        { [ "$age" -le "$max_heartbeat_age_s" ] || [ "$(started_s_ago "$pid")" -le "$max_heartbeat_age_s" ]; } && return 0
        end_process "$pid"
    fi
    if [ -n "$pid" ]; then say "guardian restart: process $pid has not looked for $age s"; else say "guardian restart: no process"; fi
    # shellcheck disable=SC2086  # the command is words on purpose
    LAB_HOME="$home" setsid nohup $guardian_command >>"$logs/guardian.out" 2>&1 </dev/null 9>&- &
}

restart() {
    local why="$1" pid="$2" count
    [ -n "$pid" ] && end_process "$pid"
    say "restart: $why"
    date +%s >>"$state/monitor_restarts"
    # shellcheck disable=SC2086  # the command is words on purpose
    LAB_HOME="$home" setsid nohup $start_command >>"$logs/service.out" 2>&1 </dev/null 9>&- &
    count="$(awk -v from="$(($(date +%s) - 3600))" '$1 >= from' "$state/monitor_restarts" | wc -l)"
    awk -v from="$(($(date +%s) - 3600))" '$1 >= from' "$state/monitor_restarts" >"$state/monitor_restarts.tmp" &&
        mv "$state/monitor_restarts.tmp" "$state/monitor_restarts"
    if [ "$count" -ge "$alert_from_restarts" ]; then
        alert "AI Trading Lab: $count restarts within an hour, last because: $why. See logs/ai_lab.log"
    fi
}

exec 9>"$state/monitor.lock"
flock -n 9 || exit 0 # the last round still works

rotate_log "$logs/ai_lab.log"
rotate_log "$logs/service.out"
rotate_log "$logs/guardian.out"
rotate_log "$monitor_log"
guard

pid="$(service_pid)"
why_stopped="$(stop_in_force)"
if [ -n "$why_stopped" ]; then
    say "stopped, not restarting: $why_stopped"
    if flat_demanded && { [ -z "$pid" ] || frozen "$pid"; }; then
        nobody_closes
    fi
    exit 0
fi
if [ -z "$pid" ]; then
    restart "no process" ""
    exit 0
fi
age="$(heartbeat_age_s)"
if frozen "$pid"; then
    restart "heartbeat ${age} s old, limit ${max_heartbeat_age_s} s" "$pid"
    exit 0
fi
rss_mb="$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")"
if [ "${rss_mb:-0}" -gt "$max_rss_mb" ]; then
    restart "memory ${rss_mb} MB, limit ${max_rss_mb} MB" "$pid"
    exit 0
fi
say "ok: pid $pid, heartbeat ${age} s old, ${rss_mb:-?} MB"
