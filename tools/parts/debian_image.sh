#!/usr/bin/env bash
# Gives the tests an image debian:SUITE-slim without a container registry: the same packages from
# the Debian mirror, by mmdebstrap. Usage: debian_image.sh SUITE. Prints the name of the image.
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly SUITE=$1
readonly PART=debian-$SUITE
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

readonly IMAGE=localhost/debian:$SUITE-slim
readonly TAR=$PARTS/debian-$SUITE.tar

BIN=$("$(dirname "${BASH_SOURCE[0]}")/containers.sh")
alone
if ! "$BIN/buildah" inspect --type image "$IMAGE" > /dev/null 2>&1; then
    if [[ ! -f $TAR ]]; then
        say "putting it together from the mirror, half a minute ..."
        install_packages mmdebstrap
        MIRROR=$(debian_mirror)
        # What the official slim images leave out.
        quietly mmdebstrap --variant=minbase --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/doc/*' "$SUITE" "$TAR.partial.tar" "$MIRROR" ||
            cannot "mmdebstrap failed"
        mv "$TAR.partial.tar" "$TAR"
    fi
    CONTAINER=$("$BIN/buildah" from scratch)
    quietly "$BIN/buildah" add "$CONTAINER" "$TAR" /
    quietly "$BIN/buildah" config --cmd bash "$CONTAINER"
    quietly "$BIN/buildah" commit --rm "$CONTAINER" "$IMAGE"
fi
echo "$IMAGE"
