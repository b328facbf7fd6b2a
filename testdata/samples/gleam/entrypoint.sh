#!/bin/sh
set -eu
PACKAGE=sample_gleam
BASE=$(dirname "$0")
run() {
  exec erl -pa "$BASE"/*/ebin -eval "$PACKAGE@@main:run($PACKAGE)" -noshell -extra "$@"
}
case "${1-run}" in
run) shift || true; run "$@" ;;
*) echo "usage: entrypoint.sh run" >&2; exit 1 ;;
esac
