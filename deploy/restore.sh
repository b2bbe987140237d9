#!/usr/bin/env bash
# Puts an archive back: sudo restore.sh [ARCHIVE]; without one, the newest. Refuses while the lab runs. What was there is
# set aside. A stop that is in force stays in force, and live trading must be armed anew. It starts nothing.
#   --drill       only try it, beside a lab that may run: unpack, verify the audit chain, read everything, remove it again
#   --identity F  the age key of an archive that ends in .age
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
archive="" identity="" drill=()
while [ "$#" -gt 0 ]; do
    case "$1" in
        --drill) drill=(--drill) ;;
        --identity) value_of "$@" && identity="$2" && shift ;;
        -*) die 2 "$1: unknown; see the head of $0" ;;
        *) archive="$1" ;;
    esac
    shift
done
need_root
need_installed
if [ "${#drill[@]}" = 0 ]; then
    for one in "${units[@]}"; do
        ! is_active "$one" || die 2 "$one runs; first: systemctl stop ${units[*]}"
    done
fi
umask 077
mine="$(mktemp -d "$home/.restore-XXXXXX")" # where the lab's user may read it, wherever it came from
trap 'rm -rf "$mine"' EXIT
case "$archive" in
    "") ;; # the newest, which the lab finds itself
    *.age)
        command -v age >/dev/null || die 2 "age is not here: apt install age"
        [ -n "$identity" ] || die 2 "$archive is encrypted: give --identity FILE"
        age -d -i "$identity" -o "$mine/$(basename "$archive" .age)" "$archive" || die 2 "$archive cannot be decrypted"
        ;;
    *)
        [ -f "$archive" ] || die 2 "$archive: no such file; name an archive"
        cp -- "$archive" "$mine/"
        ;;
esac
chown -R "$user:$user" "$mine"
mapfile -t given < <(find "$mine" -type f)
as_lab "$prefix/lab" restore "${drill[@]}" "${given[@]}"
if [ "${#drill[@]}" = 0 ]; then
    note "restored ${archive:-the newest}"
    next="systemctl start ${units[*]}"
    has_systemd || next="the watchman starts it within five minutes, unless a stop is in force"
    say "look: ai-lab get_status.py; then: $next"
else
    note "drill of ${archive:-the newest} passed"
fi
