#!/bin/sh
# build.sh LANGUAGE VERSION OUT.tar.gz: build one version of a sample app into a release tarball.
#
# LANGUAGE is erlang (relx), elixir (mix release) or gleam (the layout of an erlang-shipment, compiled with erlc).
# Any VERSION works; one that ends in -crash dies while starting, in -sick answers 503 on /health.
# From 0.2.0 on the counter keeps its state as a map instead of an integer.
# The OTP, Elixir and rebar3 that PATH names first are used.
set -eu

[ $# -eq 3 ] || { echo "usage: build.sh erlang|elixir|gleam VERSION OUT.tar.gz" >&2; exit 2; }
language=$1 version=$2 out=$3
case $out in /*) ;; *) out=$PWD/$out ;; esac
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$here/$language" ] || { echo "build.sh: no sample in language \"$language\"; there are erlang, elixir and gleam" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$here/$language/." "$work/"
find "$work" -type f -exec sed -i "s/@VERSION@/$version/g" {} +
cd "$work"
export LANG=C.UTF-8 LC_ALL=C.UTF-8 HOME="$work" REBAR_CACHE_DIR="$work/.cache" REBAR_OFFLINE=1 HEX_OFFLINE=1 MIX_ENV=prod

case $version in 0.1.*) map_state= ;; *) map_state=1 ;; esac

case $language in
erlang)
  [ -z "$map_state" ] || sed -i 's/{erl_opts, \[debug_info\]}/{erl_opts, [debug_info, {d, '"'MAP_STATE'"'}]}/' rebar.config
  rebar3=$(command -v rebar3) || { echo "build.sh: rebar3 is not on PATH" >&2; exit 1; }
  escript "$rebar3" as prod tar >build.log 2>&1 || { cat build.log >&2; exit 1; }
  cp "_build/prod/rel/sample/sample-$version.tar.gz" "$work/out.tar.gz"
  ;;
elixir)
  mix release --quiet >build.log 2>&1 || { cat build.log >&2; exit 1; }
  cp "_build/prod/sample_elixir-$version.tar.gz" "$work/out.tar.gz" 2>/dev/null ||
    cp "_build/prod/rel/sample_elixir/sample_elixir-$version.tar.gz" "$work/out.tar.gz"
  ;;
gleam)
  ebin=erlang-shipment/sample_gleam/ebin
  mkdir -p "$ebin"
  erlc -o "$ebin" src/*.erl
  cp src/sample_gleam.app "$ebin/"
  cp entrypoint.sh erlang-shipment/
  chmod 755 erlang-shipment/entrypoint.sh
  tar -czf "$work/out.tar.gz" erlang-shipment
  ;;
esac

mkdir -p "$(dirname "$out")"
mv "$work/out.tar.gz" "$out.part.$$"
mv "$out.part.$$" "$out"
