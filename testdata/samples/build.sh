#!/bin/sh
# build.sh LANGUAGE VERSION OUT.tar.gz: build one version of a sample app into a release tarball.
#
# LANGUAGE is erlang (relx), elixir (mix release) or gleam (the layout of an erlang-shipment, compiled with erlc); or
# hot_erlang (relx) or hot_elixir (mix, an umbrella), which are upgraded while they run: their versions are told in their README.
# Any VERSION works; one that ends in -crash dies while starting, in -sick answers 503 on /health.
# From 0.2.0 on the counter keeps its state as a map instead of an integer.
# The OTP, Elixir and rebar3 that PATH names first are used.
set -eu

[ $# -eq 3 ] || { echo "usage: build.sh erlang|elixir|gleam|hot_erlang|hot_elixir VERSION OUT.tar.gz" >&2; exit 2; }
language=$1 version=$2 out=$3
case $out in /*) ;; *) out=$PWD/$out ;; esac
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$here/$language" ] || { echo "build.sh: no sample in language \"$language\"; there are erlang, elixir, gleam, hot_erlang and hot_elixir" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$here/$language/." "$work/"
find "$work" -type f -exec sed -i "s/@VERSION@/$version/g" {} +
cd "$work"
export LANG=C.UTF-8 LC_ALL=C.UTF-8 HOME="$work" REBAR_CACHE_DIR="$work/.cache" REBAR_OFFLINE=1 HEX_OFFLINE=1 MIX_ENV=prod

case $version in 0.1.*) map_state= ;; *) map_state=1 ;; esac

case $language in
hot_erlang)
  case $version in
  0.1.*) dep=1.0.0 upfrom=none state=N up='{ok, new(count(State))}' down=State ;;
  0.2.*) dep=1.1.0 upfrom='0\\\\.1\\\\.[0-9]+' state='{2, N}' up='{ok, new(count(State))}' down='count(State)' ;;
  *) dep=1.1.0 upfrom='0\\\\.2\\\\.[0-9]+' state='{3, N}' up='{ok, new(count(State))}' down='{2, count(State)}' ;;
  esac
  case $version in
  0.2.1) up='hot_app:slow(), {ok, new(count(State))}' ;;
  0.2.2) up='error({cannot_change, element(1, State)})' ;;
  0.2.6) up='spawn(fun Loop() -> logger:error("upgraded and unhappy"), timer:sleep(50), Loop() end), {ok, new(count(State))}' ;;
  esac
  find apps appups -type f -exec sed -i "s/@DEP@/$dep/g; s/@UPFROM@/$upfrom/g; s/@STATE@/$state/; s/@UP@/$up/; s/@DOWN@/$down/" {} +
  overlay='{copy, "appups/hot_erlang.appup", "lib/hot_erlang-'$version'/ebin/hot_erlang.appup"}'
  overlay=$overlay', {copy, "appups/hot_stats.appup", "lib/hot_stats-'$dep'/ebin/hot_stats.appup"}'
  overlay=$overlay', {mkdir, "lib/hot_names-'$dep'/priv/appup"}, {copy, "appups/hot_names.appup", "lib/hot_names-'$dep'/priv/appup/hot_names.appup"}'
  [ "$version" != 0.2.3 ] || overlay=$overlay', {copy, "appups/relup", "releases/'$version'/relup"}'
  case $version in 0.1.* | 0.2.4) overlay= ;; esac
  sed -i "s|@OVERLAY@|$overlay|" rebar.config
  rebar3=$(command -v rebar3) || { echo "build.sh: rebar3 is not on PATH" >&2; exit 1; }
  escript "$rebar3" as prod tar >build.log 2>&1 || { cat build.log >&2; exit 1; }
  cp "_build/prod/rel/hot_erlang/hot_erlang-$version.tar.gz" "$work/out.tar.gz"
  ;;
erlang)
  [ -z "$map_state" ] || sed -i 's/{erl_opts, \[debug_info\]}/{erl_opts, [debug_info, {d, '"'MAP_STATE'"'}]}/' rebar.config
  rebar3=$(command -v rebar3) || { echo "build.sh: rebar3 is not on PATH" >&2; exit 1; }
  escript "$rebar3" as prod tar >build.log 2>&1 || { cat build.log >&2; exit 1; }
  cp "_build/prod/rel/sample/sample-$version.tar.gz" "$work/out.tar.gz"
  ;;
hot_elixir)
  add= delete=
  case $version in
  0.1.*) from=none upfrom=none state=n down=state ;;
  0.2.*) from=0.1.0 upfrom='0\\\\.1\\\\.[0-9]+' state='{2, n}' down='count(state)'
    add="{add_module, 'Elixir.HotCore.Thing'}, {add_module, 'Elixir.HotCore.Describe.HotCore.Thing'}, "
    delete=", {delete_module, 'Elixir.HotCore.Thing'}, {delete_module, 'Elixir.HotCore.Describe.HotCore.Thing'}" ;;
  *) from=0.2.0 upfrom='0\\\\.2\\\\.[0-9]+' state='{3, n}' down='{2, count(state)}' ;;
  esac
  find apps appups mix.exs -type f -exec sed -i "s/@ADD@/$add/g; s/@DELETE@/$delete/g; s/@FROM@/$from/g; s/@UPFROM@/$upfrom/g; s/@STATE@/$state/; s/@DOWN@/$down/" {} +
  case $version in 0.1.* | 0.2.4) rm -r appups ;; esac
  mix release hot_elixir --quiet >build.log 2>&1 || { cat build.log >&2; exit 1; }
  cp "_build/prod/hot_elixir-$version.tar.gz" "$work/out.tar.gz" 2>/dev/null ||
    cp "_build/prod/rel/hot_elixir/hot_elixir-$version.tar.gz" "$work/out.tar.gz"
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
