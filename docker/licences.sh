#!/bin/sh
# Writes to standard output what whoever hands on a binary of this program must hand on with it: every crate that it holds,
# under which licence, with the text. MIT, BSD, ISC and Unicode ask for theirs in every copy; of a choice, MIT is taken.
#
#   docker/licences.sh                           of this machine's kind
#   docker/licences.sh aarch64-unknown-linux-gnu of another
#   STATIC=1 docker/licences.sh …                of one that holds the C library, too (docker/Dockerfile, docker/cross.sh)
#
# Needs cargo and the sources that a build has fetched; asks no network.
set -eu
cd "$(dirname "$0")/.."

triple=${1:-$(rustc -vV | sed -n 's/^host: //p')}
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
seen=$(mktemp -d)
trap 'rm -rf "$seen"' EXIT

# text FILE OWNER: the text, or where it stood already.
text() {
    sum=$(sha256sum <"$1" | cut -d ' ' -f 1)
    if [ -e "$seen/$sum" ]; then
        printf '%s: as of %s\n\n' "${1##*/}" "$(cat "$seen/$sum")"
    else
        printf '%s' "$2" >"$seen/$sum"
        printf '%s:\n\n' "${1##*/}"
        cat "$1"
        printf '\n'
    fi
}

# texts FOLDER LICENCE OWNER: all that it brings; of a choice with MIT, not the long one. Fails where there is none.
texts() {
    count=0 has_mit=
    for file in "$1"/*MIT*; do [ ! -f "$file" ] || has_mit=yes; done
    for file in "$1"/*; do
        case ${file##*/} in
            *.rs | *.toml) continue ;;
            LICEN[SC]E* | COPYING* | COPYRIGHT* | NOTICE* | license*) ;;
            *) continue ;;
        esac
        case $2:${file##*/} in
            *' AND '*) ;;
            *[Aa][Pp][Aa][Cc][Hh][Ee]*:*[Aa][Pp][Aa][Cc][Hh][Ee]*) [ -z "$has_mit" ] || continue ;;
        esac
        [ -f "$file" ] || continue
        text "$file" "$3"
        count=$((count + 1))
    done
    [ "$count" -gt 0 ]
}

heading() {
    printf '%s\n%s\n\n' '--------------------------------------------------------------------------------' "$1"
}

printf 'Licences of what ollama-proxy for %s holds.\n\n' "$triple"
heading "ollama-proxy: MIT"
text LICENSE ollama-proxy

cargo tree --locked --offline --edges normal,no-proc-macro --target "$triple" --prefix none --no-dedupe --format '{p}|{l}|{r}' |
    sort -u >"$seen/all"
while IFS='|' read -r package licence repository; do
    name=${package%% *} version=${package#* v}
    version=${version%% *}
    [ "$name" != ollama-proxy ] || continue
    folder=
    for candidate in "$sources"/*/"$name-$version"; do folder=$candidate; done
    heading "$name $version: $licence
$repository"
    if ! texts "$folder" "$licence" "$name"; then
        printf 'no text of the licence of %s %s is in %s\n' "$name" "$version" "$folder" >&2
        exit 1
    fi
done <"$seen/all"

heading "The Rust standard library: MIT OR Apache-2.0
https://github.com/rust-lang/rust
Copyright (c) The Rust Project Contributors; the text of MIT as above."

if [ -n "${STATIC:-}" ]; then
    heading "The GNU C Library: LGPL-2.1-or-later
https://sourceware.org/glibc/
It is linked in unchanged, as Debian packages it (glibc). The whole source of ollama-proxy is free: whoever wants to can link
it anew with another version, as docker/Dockerfile and docker/cross.sh do."
    for file in /usr/share/common-licenses/LGPL-2.1; do [ ! -f "$file" ] || text "$file" glibc; done
fi
