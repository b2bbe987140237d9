#!/usr/bin/env bash
# Keys encrypted at rest: sudo deploy/seal.sh. Takes every key out of .env into a file that only this machine can open
# (systemd-creds, with its TPM where it has one); systemd hands it to the lab's units in memory. Run it again after you wrote
# a new key into .env. --open writes them back into .env.
# TELEGRAM_* stays in .env, for the watchman must be heard when nothing else runs; so do the words that are no secret.
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"
stay='TELEGRAM_TOKEN|TELEGRAM_CHAT_ID|BINANCE_TESTNET|LIVE_TRADING|LIVE_TRADING_ENABLED|ENABLE_LIVE_TRADING|KILL|OLLAMA_HOST'
one_key='^[[:space:]]*(export[[:space:]]+)?[A-Z_]+[[:space:]]*=[[:space:]]*[^[:space:]]'
told='# Sealed by deploy/seal.sh: ' # which keys there are: the watchman, who cannot open them, keeps a guardian alive for them
umask 077

keys() { awk -v key="$one_key" -v stay="^[[:space:]]*(export[[:space:]]+)?($stay)[[:space:]]*=" '$0 ~ key && $0 !~ stay' "$@"; } # files, or standard input
names() { sed -E 's/^[[:space:]]*(export[[:space:]]+)?([A-Z_]+).*/\2/'; }
opened() { [ ! -e "$sealed" ] || systemd-creds decrypt --name=lab.env "$sealed" - || die 1 "$sealed cannot be opened: it was sealed on another machine, or its secret is gone; write the keys into .env anew and remove it"; }

put_env() { # standard input becomes .env at once, or not at all
    local new="$home/.env.new"
    cat >"$new"
    chown "$user:$user" "$new"
    chmod 600 "$new"
    mv "$new" "$home/.env"
    sync "$home"
}

seal() {
    local new before after
    new="$(keys "$home/.env")"
    [ -n "$new" ] || die 2 "no key in $home/.env to seal; nothing was done"
    before="$(opened)"
    # of one name the newest counts: what was just written into .env stands behind
    after="$({ [ -z "$before" ] || printf '%s\n' "$before"; printf '%s\n' "$new"; } | tac | awk -F= '{name = $1; gsub(/[[:space:]]|export/, "", name)} !seen[name]++' | tac)"
    install -d -m 700 "$(dirname "$sealed")"
    printf '%s\n' "$after" | systemd-creds encrypt --name=lab.env - "$sealed.new" || die 1 "systemd-creds did not encrypt; .env is as it was"
    [ "$(systemd-creds decrypt --name=lab.env "$sealed.new" -)" = "$after" ] || die 1 "what was sealed does not open to the same; .env is as it was"
    mv "$sealed.new" "$sealed"
    sync "$sealed"
    drop_ins put
    {
        awk -v key="$one_key" -v stay="^[[:space:]]*(export[[:space:]]+)?($stay)[[:space:]]*=" -v told="$told" '!($0 ~ key && $0 !~ stay) && index($0, told) != 1' "$home/.env"
        printf '%s%s\n' "$told" "$(printf '%s\n' "$after" | names | paste -sd' ')"
    } | put_env
    say "sealed: $(printf '%s\n' "$after" | names | paste -sd' ')"
    say "into $sealed; left in $home/.env: TELEGRAM_* and what is no secret"
    say "no other machine opens this file: keep the keys elsewhere too"
    systemd-creds has-tpm2 >/dev/null 2>&1 || say "this machine has no TPM: who has its whole disk can open it; who has a backup cannot"
    note "sealed $(printf '%s\n' "$after" | names | paste -sd' ')"
    offer
    say "next: systemctl restart ${units[*]}"
}

readable() { # what was written before and still shows a key: archives, and what restores have set aside
    local one
    for one in "$home"/backups/lab-*.tar.gz; do
        [ ! -e "$one" ] || [ -z "$(tar -xzf "$one" -O --occurrence=1 .env 2>/dev/null | keys)" ] || echo "$one"
    done
    for one in "$home"/before-restore-*/.env; do
        [ ! -e "$one" ] || [ -z "$(keys "$one")" ] || echo "$one"
    done
}

offer() { # a backup without keys in place of those with
    local found answer=""
    mapfile -t found < <(readable)
    say "backups from now on hold none of these keys; earlier copies of backup.sh --to still may: safest is a new key at the exchange, and the old one deleted there"
    [ "${#found[@]}" -gt 0 ] || return 0
    say "still readable in:"
    printf '  %s\n' "${found[@]}"
    read -r -p "Remove these, after a new backup? Type remove: " answer || true
    [ "$answer" = remove ] || { say "kept"; return 0; }
    as_lab "$prefix/lab" backup || die 1 "no new backup, so the old ones are kept"
    mapfile -t found < <(readable) # the new one may have taken the place of today's
    [ "${#found[@]}" = 0 ] || rm -f "${found[@]}"
    say "removed"
    note "removed what still showed keys"
}

open() {
    local held
    [ -e "$sealed" ] || die 2 "$sealed is not there; nothing is sealed"
    held="$(opened)"
    { awk -v told="$told" 'index($0, told) != 1' "$home/.env"; printf '%s\n' "$held"; } | put_env
    drop_ins remove
    rm -f "$sealed"
    say "opened: $(printf '%s\n' "$held" | names | paste -sd' ') stand in $home/.env again"
    say "next: systemctl restart ${units[*]}"
    note "opened"
}

need_root
need_installed
command -v systemd-creds >/dev/null || die 2 "no systemd-creds here (systemd 250 or newer); keys stay in $home/.env, mode 0600"
case "${1:-}" in
    "") seal ;;
    --open) open ;;
    *) die 2 "$1: unknown; see the head of $0" ;;
esac
