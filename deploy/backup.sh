#!/usr/bin/env bash
# An archive of keys, settings, strategies, state and logs, now: sudo backup.sh. The lab may run.
#   --to DIR          also copy it there, such as a mounted disk
#   --age RECIPIENT   encrypt that copy with age (age1..., or an ssh public key): only who has the key can read it
#   --then COMMAND    then run COMMAND with the copy's path behind it: a script of yours that takes it to object storage
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
to="" recipient="" after=""
while [ "$#" -gt 0 ]; do
    case "$1" in
        --to) value_of "$@" && to="$2" && shift ;;
        --age) value_of "$@" && recipient="$2" && shift ;;
        --then) value_of "$@" && after="$2" && shift ;;
        *) die 2 "$1: unknown; see the head of $0" ;;
    esac
    shift
done
copied() { # whole, or not under its name
    if [ -n "$recipient" ]; then age -r "$recipient" -o "$copy.tmp" "$archive"; else cp "$archive" "$copy.tmp"; fi &&
        sync "$copy.tmp" && mv "$copy.tmp" "$copy"
}

need_root
need_installed
[ -z "$recipient$after" ] || [ -n "$to" ] || die 2 "--age and --then are about a copy: give --to DIR too"
[ -z "$recipient" ] || command -v age >/dev/null || die 2 "age is not here: apt install age"
[ -z "$to" ] || [ -d "$to" ] || die 2 "$to: no such folder; mount the disk, or make the folder"
umask 077
told="$(as_lab "$prefix/lab" backup)"
echo "$told"
archive="$(sed -nE 's/^written: (.+\.tar\.gz) .*/\1/p' <<<"$told")" # by name the newest may be one of a clock that was ahead
if [ -n "$to" ]; then
    copy="$to/$(basename "$archive")${recipient:+.age}"
    if ! copied; then
        rm -f "$copy.tmp" # or a full disk would stay full of halves
        note "$(basename "$archive") written, no copy in $to"
        die 1 "no copy, see above; the archive is $archive"
    fi
    say "copied: $copy"
    [ "$(stat -c %d "$to")" != "$(stat -c %d "$home")" ] || say "note: that is the same disk; it goes when this one goes"
fi
# shellcheck disable=SC2086  # the command is words on purpose
[ -z "$after" ] || $after "$copy" || { note "$(basename "$archive") written, '$after' failed"; die 1 "'$after' failed; the archive is $copy"; }
note "$(basename "$archive") written${to:+, copied to $to}"
