#!/bin/sh
# run.sh: what `make run` does once the binary is built. Everything it makes is under ./run.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/run
export BEAMKEEPER_CONFIG="$root/beamkeeper.yaml"

if [ ! -e "$BEAMKEEPER_CONFIG" ]; then
  echo "== beamkeeper init --dir run --app sample --language erlang"
  ./beamkeeper init --dir "$root" --app sample --language erlang
fi

tarball=$root/sample-0.1.0.tar.gz
if [ ! -e "$tarball" ]; then
  echo "== building a real release of the sample app, versions 0.1.0 and 0.2.0"
  testdata/samples/build.sh erlang 0.1.0 "$tarball"
  testdata/samples/build.sh erlang 0.2.0 "$root/sample-0.2.0.tar.gz"
fi

if ! ./beamkeeper status >/dev/null 2>&1; then
  echo "== beamkeeper run    (in the background; its log is run/beamkeeper.log)"
  setsid ./beamkeeper run >>"$root/beamkeeper.log" 2>&1 </dev/null &
  daemon=$!
  tries=0
  until ./beamkeeper status >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 100 ] || ! kill -0 $daemon 2>/dev/null; then
      echo "the daemon did not start; the end of run/beamkeeper.log:" >&2
      tail -n 20 "$root/beamkeeper.log" >&2
      exit 1
    fi
    sleep 0.1
  done
fi

if [ ! -e "$root/bucket/versions/sample/local/current.json" ]; then
  echo "== beamkeeper deploy sample run/sample-0.1.0.tar.gz --wait"
  ./beamkeeper deploy sample "$tarball" --wait
  echo
else
  ./beamkeeper start sample
fi
echo "== beamkeeper status"
./beamkeeper status
cat <<'T'

The daemon goes on in the background. To go on from here:

  export BEAMKEEPER_CONFIG=$PWD/run/beamkeeper.yaml
  ./beamkeeper status --watch                               what runs, live
  ./beamkeeper deploy sample run/sample-0.2.0.tar.gz --wait the next version, rolling
  ./beamkeeper rpc sample 'sample_counter:bump().'          call into a replica
  ./beamkeeper logs sample -f                               its output
  curl localhost:4000                                       the app itself
  ./beamkeeper rpc sample 'erlang:halt(1).'                 crash a replica, then look at: ./beamkeeper events
  make stop                                                 stop the replicas and the daemon
T
