#!/usr/bin/env bash
# Builds one static binary per processor, for machines without Docker: target/static/ollama-proxy-<processor>, and beside it
# LICENCES-<processor>.txt, which whoever hands it on hands on, too.
#
#   docker/cross.sh                  x86_64, aarch64 (Raspberry Pi OS 64 bit, most NAS) and armv7 (32 bit)
#   docker/cross.sh aarch64 armv7    only these
#   PROFILE=dev docker/cross.sh      without the long optimisation, to try it
#
# Runs on Debian 12 or newer on x86_64, with cargo, and for the foreign processors with the linkers of the packages
# gcc-aarch64-linux-gnu and gcc-arm-linux-gnueabihf. The standard library of a foreign processor is the toolchain's own
# if `rustup target add` has brought it; else Debian's compiler and libraries are unpacked under target/cross, and
# nothing is installed. Exit code 75: the package server could not give them (its index may be out of step); try later.
set -eu
cd "$(dirname "$0")/.."

out=${CARGO_TARGET_DIR:-target}
mkdir -p "$out/cross" "$out/static"
out=$(cd "$out" && pwd)
root=$out/cross/root
profile=${PROFILE:-release}
folder=${profile/dev/debug} # cargo's name for where that profile is built
suite=bookworm        # its main archive has one version of the compiler for every processor
std=libstd-rust-web   # the current Rust that Debian keeps for building browsers

triple_of() {
    case $1 in
        x86_64) echo x86_64-unknown-linux-gnu ;;
        aarch64) echo aarch64-unknown-linux-gnu ;;
        armv7) echo armv7-unknown-linux-gnueabihf ;;
        *) printf 'no processor %s; there are x86_64, aarch64, armv7\n' "$1" >&2; exit 2 ;;
    esac
}

linker_of() {
    case $1 in
        x86_64) echo cc ;;
        aarch64) echo aarch64-linux-gnu-gcc ;;
        armv7) echo arm-linux-gnueabihf-gcc ;;
    esac
}

debian_of() {
    case $1 in
        aarch64) echo arm64 ;;
        armv7) echo armhf ;;
    esac
}

# The toolchain that cargo would take can build for this processor by itself.
toolchain_has() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$(triple_of "$1")/lib" ]
}

# apt with lists, state and configuration of its own, which knows the foreign processors.
apt_alone() {
    APT_CONFIG=$out/cross/apt/apt.conf "$@"
}

# Where this machine takes the packages of the suite from.
own_mirror() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" 'Component: main' | head -n 1
}

prepare_apt() {
    local apt=$out/cross/apt
    mkdir -p "$apt"/{etc/apt.conf.d,etc/preferences.d,lists/partial,cache/archives/partial}
    : >"$apt/status"
    local mirror=${DEBIAN_MIRROR:-$(own_mirror)}
    [ -n "$mirror" ] || { printf 'this machine has no package source for %s: set DEBIAN_MIRROR\n' "$suite" >&2; exit 2; }
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<END
Dir::Etc "$apt/etc";
Dir::Etc::SourceList "$apt/sources.list";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::Status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; "armhf"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
END
    apt_alone apt-get update -qq
}

# Unpacks Debian packages under target/cross/root, each once.
unpack() {
    local package missing=()
    for package in "$@"; do
        [ -e "$out/cross/unpacked/$package" ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    printf 'unpacking %s under %s\n' "${missing[*]}" "$root"
    rm -rf "$out/cross/debs"
    mkdir -p "$out/cross/debs" "$out/cross/unpacked" "$root"
    (cd "$out/cross/debs" && apt_alone apt-get download -qq "${missing[@]}") || return 1
    for package in "$out"/cross/debs/*.deb; do
        dpkg-deb -x "$package" "$root" || return 1
    done
    rm -rf "$out/cross/debs"
    for package in "${missing[@]}"; do : >"$out/cross/unpacked/$package"; done
}

# Debian's compiler for this machine, and its standard library for the named processors too.
fetch_debian() {
    local name version packages=()
    [ -e "$out/cross/apt/apt.conf" ] || prepare_apt || return 1
    version=$(apt_alone apt-cache show rustc-web:amd64 | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || return 1
    for name in "$@"; do packages+=("$std-dev:$(debian_of "$name")"); done
    unpack rustc-web:amd64 "$std-dev:amd64" "$std-$version:amd64" "${packages[@]}" \
        libllvm19:amd64 libedit2:amd64 libbsd0:amd64 libmd0:amd64 libz3-4:amd64 libxml2:amd64 libicu72:amd64 || return 1
    cat >"$out/cross/rustc" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu"
exec "$root/usr/bin/rustc" "\$@"
END
    chmod +x "$out/cross/rustc"
    "$out/cross/rustc" --version
}

build() {
    local name=$1 triple linker variable
    triple=$(triple_of "$name")
    linker=$(linker_of "$name")
    command -v "$linker" >/dev/null || { printf '%s is not here: install the package gcc-%s\n' "$linker" "${linker%-gcc}" >&2; exit 1; }
    variable=${triple//-/_}
    export "CARGO_TARGET_${variable^^}_LINKER=$linker" "CC_$variable=$linker"
    # Named target: so crt-static does not reach build scripts and macros, which must be loaded dynamically.
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --profile "$profile" --locked --bin ollama-proxy --target "$triple" --target-dir "$out/cross/build"
    cp "$out/cross/build/$triple/$folder/ollama-proxy" "$out/static/ollama-proxy-$name"
    # To be handed on with it.
    STATIC=1 docker/licences.sh "$triple" >"$out/static/LICENCES-$name.txt"
    ls -l "$out/static/ollama-proxy-$name"
}

wanted=("$@")
[ $# -gt 0 ] || wanted=(x86_64 aarch64 armv7)
foreign=()
for name in "${wanted[@]}"; do
    triple_of "$name" >/dev/null
    toolchain_has "$name" || foreign+=("$name")
done
if [ ${#foreign[@]} -gt 0 ]; then
    fetch_debian "${foreign[@]}" || { printf 'the packages for %s could not be had; apt says why above\n' "${foreign[*]}" >&2; exit 75; }
fi
for name in "${wanted[@]}"; do
    if toolchain_has "$name"; then build "$name"; else (export RUSTC=$out/cross/rustc && build "$name"); fi
done
