#!/bin/sh
# Records the vectors of testdata/etf with every OTP that is here: the system's, and the prefixes otp-* in the cache
# folder. usage: etf.sh [ERL...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/beamkeeper
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ $# -gt 0 ] || set -- erl "$cache"/otp-*/bin/erl
for erl; do
	command -v "$erl" >/dev/null || continue
	rm -f "$tmp"/*.beam
	release=$("$erl" -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
	compile='Compile = fun(F) -> case compile:file(F, [report, {outdir, "'$tmp'"}]) of {ok, _} -> ok; _ -> halt(1) end end'
	"$erl" -noshell -eval "$compile, Compile(\"$here/etf_vectors.erl\"), [Compile(\"$here/etf_records.erl\") || $release >= 29], halt()."
	"$erl" -noshell +pc unicode -pa "$tmp" -eval "ok = etf_vectors:main([\"$here/../etf/otp$release.txt\"]), halt()."
	echo "otp$release.txt: $(wc -l <"$here/../etf/otp$release.txt") lines"
done
