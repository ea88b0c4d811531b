#!/bin/sh
# See to a PostgreSQL of this machine, 15 or later: tests run a gateway on it. No cluster is made.
set -eu

for program in /usr/lib/postgresql/*/bin/initdb; do
    version=${program%/bin/initdb}
    [ -x "$program" ] && [ "${version##*/}" -ge 15 ] && exit 0
done
configuration=/etc/postgresql-common/createcluster.conf
if [ "$(id -u)" -eq 0 ] && [ ! -e "$configuration" ]; then
    mkdir -p "${configuration%/*}"
    echo 'create_main_cluster = false' >"$configuration"
fi
exec sh "$(dirname "$0")/apt.sh" postgresql 'a test runs a gateway on the PostgreSQL of the machine'
