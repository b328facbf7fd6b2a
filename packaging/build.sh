#!/bin/sh
# build.sh VERSION OUTPUT [ARCH...]: build the .deb and .rpm packages (amd64 and arm64 unless told otherwise).
#
# The same commit gives the same bytes: every time stamp is the commit's, and the program is built with -trimpath.
set -eu

cd "$(dirname "$0")/.."
version=$1 output=$2
shift 2
[ $# -gt 0 ] || set -- amd64 arm64
go=${GO:-go}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0

# A version that packages order rightly: v1.2.3-4-gabc is after 1.2.3, and what has no tag before everything.
case ${version#v} in
[0-9]*.[0-9]*) PACKAGE_VERSION=$(printf %s "${version#v}" | sed -e 's/-\([0-9]*-g[0-9a-f]*\)/+\1/' -e 's/-dirty$/+dirty/' | tr - .) ;;
*) PACKAGE_VERSION=0.0.0~$(printf %s "$version" | tr -c 'A-Za-z0-9.\n' .) ;;
esac
PACKAGE_RELEASE=1
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
PACKAGE_DATE=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
PACKAGE_BUILD=$(mktemp -d)
trap 'rm -rf "$PACKAGE_BUILD"' EXIT
export SOURCE_DATE_EPOCH

# The pages and completions come from the program itself, as this machine runs it.
CGO_ENABLED=0 $go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$PACKAGE_BUILD/own" ./cmd/beamkeeper
mkdir -p "$PACKAGE_BUILD/completion" "$output"
"$PACKAGE_BUILD/own" generate man --output "$PACKAGE_BUILD/man" >/dev/null
gzip -9n "$PACKAGE_BUILD"/man/*.1
"$PACKAGE_BUILD/own" completion bash >"$PACKAGE_BUILD/completion/beamkeeper.bash"
"$PACKAGE_BUILD/own" completion zsh >"$PACKAGE_BUILD/completion/_beamkeeper"
"$PACKAGE_BUILD/own" completion fish >"$PACKAGE_BUILD/completion/beamkeeper.fish"
# Written for the oldest systemd there is around; `beamkeeper generate systemd` writes for the host's own.
"$PACKAGE_BUILD/own" generate systemd --config packaging/beamkeeper.yaml --systemd-version 252 --binary /usr/bin/beamkeeper \
  --output "$PACKAGE_BUILD/system" >/dev/null
# the packaged unit finds the configuration by itself
sed -i "s|^ExecStart=.*|ExecStart=/usr/bin/beamkeeper run|; /^# Made by/s|.*|# Own settings belong into a drop-in: systemctl edit beamkeeper.service|" \
  "$PACKAGE_BUILD/system/etc/systemd/system/beamkeeper.service"
find "$PACKAGE_BUILD" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

for PACKAGE_ARCH in "$@"; do
  CGO_ENABLED=0 GOOS=linux GOARCH=$PACKAGE_ARCH $go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$PACKAGE_BUILD/beamkeeper" ./cmd/beamkeeper
  touch -d "@$SOURCE_DATE_EPOCH" "$PACKAGE_BUILD/beamkeeper"
  sed -e "s|\${PACKAGE_ARCH}|$PACKAGE_ARCH|" -e "s|\${PACKAGE_VERSION}|$PACKAGE_VERSION|" -e "s|\${PACKAGE_RELEASE}|$PACKAGE_RELEASE|" \
    -e "s|\${PACKAGE_DATE}|$PACKAGE_DATE|" -e "s|\${PACKAGE_BUILD}|$PACKAGE_BUILD|" packaging/nfpm.yaml >"$PACKAGE_BUILD/nfpm.yaml"
  for kind in deb rpm; do
    $go run $nfpm package --config "$PACKAGE_BUILD/nfpm.yaml" --packager $kind --target "$output/"
  done
done
