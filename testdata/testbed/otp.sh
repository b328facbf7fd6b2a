#!/bin/sh
# otp.sh SUITE DEST [window]: put the Erlang/OTP, Elixir and rebar3 of a Debian suite into the folder DEST.
#
# bullseye has OTP 23, trixie 27, forky 29. The packages are downloaded and checked by apt with lists of its own,
# unpacked, and patched to run on this host with the C library that came with them. Nothing outside DEST changes and
# no root is needed. DEST cannot be moved afterwards. DEST/bin goes first on PATH. A .complete file marks success.
#
# With "window" its wx can open windows: wxWidgets and GTK come from the suite too, fonts and graphics drivers from this
# host, and the browser engine, which wxWidgets is linked to and Observer does not use, is an empty stand-in. A .window
# file marks success. A DEST that is complete otherwise is kept and added to.
set -eu

[ $# -eq 2 ] || [ "$*" = "$1 $2 window" ] || { echo "usage: otp.sh SUITE DEST [window]" >&2; exit 2; }
suite=$1
window=${3:-}
mkdir -p "$2"
dest=$(cd "$2" && pwd)
for tool in apt-get dpkg-deb patchelf ${window:+gcc nm}; do
  command -v "$tool" >/dev/null 2>&1 || { echo "otp.sh: $tool is missing" >&2; exit 1; }
done

exec 9>"$dest.lock"
flock 9
if [ -e "$dest/.complete" ]; then
  [ -n "$window" ] && [ ! -e "$dest/.window" ] || exit 0
fi

# the mirror that the system itself uses
mirror=${MIRROR:-$(grep -hoE '^(deb|URIs:) .*' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)}
[ -n "$mirror" ] || { echo "otp.sh: no Debian mirror in /etc/apt; set MIRROR" >&2; exit 1; }

stage=$dest.stage
rm -rf "$stage"
[ -e "$dest/.complete" ] || rm -rf "$dest"
mkdir -p "$dest" "$stage/lists/partial" "$stage/cache/archives/partial" "$stage/etc/preferences.d" "$stage/etc/apt.conf.d"
trap 'rm -rf "$stage"' EXIT
: >"$stage/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$stage/etc/sources.list"
cat >"$stage/apt.conf" <<C
Dir::Etc "$stage/etc"; Dir::Etc::sourcelist "$stage/etc/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::parts "/dev/null";
Dir::State "$stage"; Dir::State::Lists "$stage/lists"; Dir::State::status "$stage/status";
Dir::Cache "$stage/cache"; Dir::Cache::archives "$stage/cache/archives";
APT::Install-Recommends "false"; APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::Retries "3";
Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";
#clear APT::Update::Post-Invoke;
#clear DPkg::Post-Invoke;
C
export APT_CONFIG="$stage/apt.conf"
apt-get -qq update

erlang=$dest/usr/lib/erlang
libraries=$dest/usr/lib/x86_64-linux-gnu
rpath=$libraries:$dest/lib/x86_64-linux-gnu

unpack() { # unpack PACKAGE...
  (cd "$stage/cache/archives" && apt-get -qq download "$@")
  for d in "$stage"/cache/archives/*.deb; do dpkg-deb -x "$d" "$dest"; done
  rm "$stage"/cache/archives/*.deb
}

base() {
  applications=
  for a in base dev crypto ssl public-key asn1 inets runtime-tools tools syntax-tools parsetools xmerl eunit mnesia os-mon; do
    applications="$applications erlang-$a"
  done
  # of the whole closure only OTP, Elixir, rebar3 and the shared libraries they load
  rebar3=rebar3
  apt-get -qq --simulate install rebar3 >/dev/null 2>&1 || rebar3= # bullseye has none
  # shellcheck disable=SC2086
  wanted=$(apt-get -qq -y --simulate install $applications elixir $rebar3 | awk '/^Inst /{print $2}' |
    grep -E '^(erlang-|elixir$|rebar3$|libc6$|libgcc-s1$|libstdc\+\+6$|libssl|libcrypt1$|zlib1g$|libtinfo6$|libncurses|libsystemd0$|libsctp|liblzma|libzstd|liblz4|libcap2$|libgcrypt|libgpg-error|openssl-provider|libkrb5|libcom-err2$)')
  # shellcheck disable=SC2086
  unpack $wanted

  loader=$libraries/ld-linux-x86-64.so.2
  [ -e "$loader" ] || loader=$dest/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
  for f in "$erlang"/erts-*/bin/* "$erlang"/bin/* "$erlang"/lib/*/bin/* "$erlang"/lib/*/priv/bin/* "$erlang"/lib/*/priv/lib/*.so; do
    [ -f "$f" ] && [ ! -L "$f" ] || continue
    head -c 4 "$f" | grep -q ELF || continue
    case $f in
    *.so) patchelf --force-rpath --set-rpath "$rpath" "$f" ;;
    *) patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$rpath" "$f" ;;
    esac
  done
  for f in "$erlang"/bin/erl "$erlang"/bin/start "$erlang"/bin/start_erl "$erlang"/erts-*/bin/erl "$erlang"/erts-*/bin/start "$erlang"/erts-*/bin/start_erl; do
    [ -f "$f" ] && sed -i "s|\"/usr/lib/erlang\"|\"$erlang\"|; s|=/usr/lib/erlang\$|=$erlang|" "$f"
  done

  mkdir -p "$dest/bin"
  for c in erl erlc escript erl_call; do ln -sf "$erlang/bin/$c" "$dest/bin/$c"; done
  ln -sf "$erlang"/erts-*/bin/epmd "$dest/bin/epmd"
  for c in elixir elixirc iex mix; do ln -sf "$dest/usr/lib/elixir/bin/$c" "$dest/bin/$c"; done
  [ -z "$rebar3" ] || ln -sf "$dest/usr/bin/rebar3" "$dest/bin/rebar3"
  PATH="$dest/bin:$PATH" "$dest/bin/erl" -noshell -eval 'halt().'
  touch "$dest/.complete"
}

stand_in() { # stand_in LIBRARY PREFIX: an empty library with the functions of that prefix which wxWidgets needs
  nm -D --undefined-only "$libraries/libwx_gtk3u_webview-3.2.so.0" | awk -v p="^($2)" '$2 ~ p {print "void " $2 "(void) {}"}' >"$stage/$1.c"
  gcc -shared -nostdlib -fPIC -Wl,-soname,"$1" -o "$libraries/$1" "$stage/$1.c"
}

window() {
  wanted=$(apt-get -qq -y --simulate install libwxgtk3.2-1t64 libwxgtk-gl3.2-1t64 | awk '/^Inst lib/{print $2}' |
    grep -vE '^lib(c6|gcc|stdc|llvm|gl[^i]|drm|egl|vulkan|sensors|z3|pam|systemd-shared|audit|semanage|sepol|proc2|debconf|elf|edit)|mesa|-(common|data)$')
  # shellcheck disable=SC2086
  unpack erlang-wx erlang-observer erlang-et libwxgtk-webview3.2-1t64 $wanted
  stand_in libwebkit2gtk-4.1.so.0 webkit_
  stand_in libjavascriptcoregtk-4.1.so.0 'jsc_|JS'
  for f in "$erlang"/lib/wx-*/priv/*.so; do patchelf --force-rpath --set-rpath "$rpath" "$f"; done
  missing=$(LD_TRACE_LOADED_OBJECTS=1 LD_WARN=1 LD_BIND_NOW=1 "$libraries/ld-linux-x86-64.so.2" --library-path "$rpath" \
    "$libraries/libwx_gtk3u_webview-3.2.so.0" 2>&1 | grep -E 'undefined symbol|not found' || true)
  [ -z "$missing" ] || { echo "otp.sh: the libraries of wxWidgets lack something: $missing" >&2; exit 1; }
  PATH="$dest/bin:$PATH" "$dest/bin/erl" -noshell -eval '{module, _} = code:ensure_loaded(observer_wx), {module, _} = code:ensure_loaded(wx), halt().'
  touch "$dest/.window"
}

[ -e "$dest/.complete" ] || base
[ -z "$window" ] || window
