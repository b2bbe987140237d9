#!/usr/bin/env bash
# What the system knows of the lab: its units, the watchman's cron line, logrotate's file and the command ai-lab, written anew
# from the templates beside this script. install.sh and update.sh call it; it starts nothing.
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=deploy/common.sh
. "$here/common.sh"

fill() { # a template with this machine's names
    sed -e "/^@HARDENING@$/{r $here/systemd/hardening.conf
            d}" "$1" | sed -e "s|@PREFIX@|$prefix|g" -e "s|@HOME@|$home|g" -e "s|@USER@|$user|g" -e "s|@UNIT@|$unit|g" -e "s|@SEALED@|$sealed|g"
}

put() { # standard input as the file $1, whole or not at all, with mode $2
    cat >"$1.new"
    chmod "$2" "$1.new"
    mv "$1.new" "$1"
}

need_root
supervisor=""
! has_systemd || supervisor=systemd
install -d "$units_folder" "$cron_folder" "$logrotate_folder" "$commands_folder" "$deploy_log_folder"
for template in "$here"/systemd/*.service; do
    fill "$template" | put "$units_folder/$(basename "$template")" 644
done
fill "$here/cron" | sed "s|@SUPERVISOR@|$supervisor|" | put "$cron_folder/$unit" 644
fill "$here/logrotate" | put "$logrotate_folder/$unit" 644
fill "$here/ai-lab" | put "$commands_folder/ai-lab" 755
echo "$home" | put "$prefix/.home" 644 # so that who types ./lab there is sent to ai-lab
[ ! -e "$sealed" ] || drop_ins put # they were sealed before an --uninstall
has_systemd || exit 0
systemctl daemon-reload
! command -v systemd-analyze >/dev/null ||
    systemd-analyze verify "$units_folder/$unit"*.service || die 1 "systemd does not take the units; see above"
