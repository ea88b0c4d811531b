#!/bin/sh
# apt.sh PACKAGE WHY: install a Debian package as root; anyone else is told what to type.
# A service that the package brings is not started, now or at the next boot: the tests start their
# own, on loopback.
set -eu
package=$1
why=$2

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    printf 'setup: %s is missing (%s); type: sudo apt-get install %s\n' "$package" "$why" "$package" >&2
    exit 1
fi

printf 'setup: install the system package %s (%s)\n' "$package" "$why"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d # what Debian's packages ask before they start a service
if [ -e "$policy" ]; then
    trap 'rm -f "$log"' EXIT
else
    trap 'rm -f "$log" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
services=$(ls /etc/init.d 2>/dev/null || true)
if ! { apt-get update && apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$package"; } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
for each in $(ls /etc/init.d 2>/dev/null || true); do
    case " $(echo $services) " in
        *" $each "*) ;;
        *) update-rc.d "$each" disable >/dev/null 2>&1 || true ;;
    esac
done
