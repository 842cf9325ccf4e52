#!/bin/sh
# Installs the coldstart command from the files of a release: fetches it, compares its checksum, and only then installs it.
#
#   sh install.sh FROM [FOLDER]
#
# FROM is the address of the release's files, or a folder that has them. FOLDER is where the command goes: ~/.local/bin if none
# is named. Needs curl or wget for an address, and sha256sum or shasum. Nothing is installed unless all went well.
set -eu

fail() {
  printf 'install: %s\ninstall: nothing was installed\n' "$*" >&2
  exit 1
}

case $# in
  1 | 2) ;;
  *)
    echo "usage: sh install.sh FROM [FOLDER]; FROM is the address or the folder of a release's files" >&2
    exit 64
    ;;
esac
from=${1%/}
folder=${2:-${HOME:-}/.local/bin}

system=$(uname -s)
[ "$system" = Linux ] || fail "there is no coldstart for $system; on Windows use WSL 2, and elsewhere a Linux machine"
machine=$(uname -m)
case $machine in
  x86_64 | amd64) file=coldstart-x86_64-linux ;;
  aarch64 | arm64) file=coldstart-aarch64-linux ;;
  *) fail "there is no coldstart for $machine, only for x86_64 and aarch64; build it from source: cargo install" ;;
esac

work=$(mktemp -d)
new=
trap 'rm -rf "$work" ${new:+"$new"}' EXIT
trap 'exit 1' HUP INT TERM

fetch() {
  case $from in
    http://* | https://*)
      if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --retry 2 --output "$work/$1" "$from/$1"
      elif command -v wget >/dev/null; then
        wget -q -O "$work/$1" "$from/$1"
      else
        fail "neither curl nor wget is here"
      fi || fail "cannot fetch $from/$1; check the address and the network"
      ;;
    *) cp "$from/$1" "$work/$1" || fail "cannot read $from/$1; name a folder with the files of a release, or their address" ;;
  esac
}

fetch SHA256SUMS
fetch "$file"

expected=$(awk -v file="$file" '$2 == file || $2 == "*" file { print $1; count++ } END { exit count != 1 }' "$work/SHA256SUMS") ||
  fail "SHA256SUMS has not exactly one line for $file"
if command -v sha256sum >/dev/null; then
  actual=$(sha256sum "$work/$file")
elif command -v shasum >/dev/null; then
  actual=$(shasum -a 256 "$work/$file")
else
  fail "neither sha256sum nor shasum is here, so the file cannot be checked"
fi
actual=${actual%% *}
[ "$actual" = "$expected" ] ||
  fail "the checksum of $file is $actual and not $expected: the file is damaged, or not the one that was released"

mkdir -p "$folder" || fail "cannot create $folder"
# Beside its place, so that the last step is a rename: a command that is running stays whole.
new=$folder/.coldstart.$$
cp "$work/$file" "$new" && chmod 755 "$new" || fail "cannot write to $folder"
version=$("$new" --version) || fail "$file does not start on this machine"
mv -f "$new" "$folder/coldstart" || fail "cannot write $folder/coldstart"
new=
echo "installed $version: $folder/coldstart"
case :${PATH:-}: in
  *":$folder:"*) ;;
  *) echo "add $folder to PATH to call it as coldstart" ;;
esac
