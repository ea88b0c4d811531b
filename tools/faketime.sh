#!/bin/sh
# See to libfaketime: the tests put a server's clock into the future with it.
set -eu

for library in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 \
    /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1; do
    [ -e "$library" ] && exit 0
done
exec sh "$(dirname "$0")/apt.sh" libfaketime 'tests move a clock with it'
