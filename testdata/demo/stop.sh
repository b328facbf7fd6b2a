#!/bin/sh
# stop.sh: stop the replicas and the daemon that `make run` started.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/run
[ -e "$root/beamkeeper.yaml" ] || exit 0
# the lock of the state folder names the daemon that holds it, whoever started it
pid=$(sed -n 's/.*"os_pid":\([0-9]*\).*/\1/p' "$root/var/state/lock" 2>/dev/null || true)
[ -n "$pid" ] || exit 0
if BEAMKEEPER_CONFIG="$root/beamkeeper.yaml" ./beamkeeper stop sample >/dev/null 2>&1; then
  kill "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  echo "stopped"
fi
