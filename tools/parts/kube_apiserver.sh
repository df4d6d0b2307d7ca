#!/usr/bin/env bash
# Gives the tests a real kube-apiserver, and the etcd it stands on. Prints the path of the binary.
#
# No package registry ships kube-apiserver, so it is built, once, from Debian's source package: four
# to six minutes on two cores, 1.5 GB of disk while it lasts. Nothing in /etc/apt is changed.
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=kube-apiserver
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

# The last source package that still holds the server; later ones are cut down to kubectl.
readonly SUITE=bookworm
readonly VERSION=1.20.5+really1.20.2-1.1+deb12u1
readonly BINARY=$PARTS/kube-apiserver-$VERSION
readonly BUILD_PACKAGES=(
    golang-go golang-github-modern-go-reflect2-dev rsync make jq dpkg-dev gcc libc6-dev
)

# A source line for the mirror that this machine uses already, in a configuration of our own.
write_private_apt_config() {
    local mirror
    mirror=$(debian_mirror)
    mkdir -p "$WORK"/apt/{lists/partial,cache/archives/partial}
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $SUITE main" \
        > "$WORK/apt/sources.list"
    cat > "$WORK/apt.conf" << CONFIG
Dir::Etc::SourceList "$WORK/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$WORK/apt/lists";
Dir::Cache "$WORK/apt/cache";
APT::Sandbox::User "root";
CONFIG
}

fetch_source() {
    write_private_apt_config
    quietly apt-get -c "$WORK/apt.conf" update -qq || cannot "no source index of $SUITE"
    cd "$WORK"
    quietly apt-get -c "$WORK/apt.conf" source -qq "kubernetes=$VERSION" ||
        cannot "no source package kubernetes $VERSION"
}

build() {
    cd "$WORK"/kubernetes-*/
    # The vendored reflect2 1.0.1 crashes at the first custom resource when built with Go >= 1.18.
    local vendored=vendor/github.com/modern-go/reflect2
    rm "$vendored"/*.go "$vendored"/*.s
    cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$vendored/"
    # Kubernetes generates code while it builds, and that wants to be in a GOPATH.
    mkdir -p .go/src/k8s.io "$WORK/home"
    ln -s ../../.. .go/src/k8s.io/kubernetes
    quietly env GOPATH="$PWD/.go" HOME="$WORK/home" XDG_CACHE_HOME="$WORK/home/.cache" \
        CGO_ENABLED=0 GOPROXY=off GOFLAGS= \
        nice -n 19 make all WHAT=cmd/kube-apiserver GOLDFLAGS="-s -w" || cannot "the build failed"
    # Renamed into place, so that nobody meets half a binary.
    install -m 755 _output/bin/kube-apiserver "$WORK/kube-apiserver"
    mv "$WORK/kube-apiserver" "$BINARY"
}

alone
install_packages etcd-server
if [[ ! -x $BINARY ]]; then
    say "building $VERSION from Debian's source, four to six minutes ..."
    install_packages "${BUILD_PACKAGES[@]}"
    WORK=$(mktemp --directory "$PARTS/kube-apiserver-build.XXXXXX")
    trap 'chmod -R u+w "$WORK"; rm -rf "$WORK"' EXIT # Go makes its module cache read-only
    fetch_source
    build
fi
echo "$BINARY"
