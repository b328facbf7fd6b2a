#!/bin/sh
# stop.sh: stop the replicas and the daemon that `make run` started.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/run
[ -e "$root/beamkeeper.pid" ] || exit 0
pid=$(cat "$root/beamkeeper.pid")
if [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$PWD/beamkeeper" ]; then
  BEAMKEEPER_CONFIG="$root/beamkeeper.yaml" ./beamkeeper stop sample >/dev/null 2>&1 || true
  kill "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  echo "stopped"
fi
rm -f "$root/beamkeeper.pid"
