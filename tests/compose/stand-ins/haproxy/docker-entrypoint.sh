#!/bin/sh
# As the official image: in the foreground, with a master process.
set -e
shift
exec haproxy -W -db "$@"
