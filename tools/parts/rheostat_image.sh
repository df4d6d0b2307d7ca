#!/usr/bin/env bash
# Builds the image of a checkout on a Debian, without torch: whoever runs it mounts the site-packages of
# a venv that has torch, and the Python of that Debian, at /opt/torch. Prints the name of the image.
#
# Usage: rheostat_image.sh SUITE [CHECKOUT [TAG]]
#
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason; a Dockerfile
# that does not build is another code.
set -euo pipefail

readonly SUITE=$1
readonly PART=rheostat-image
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/parts/installing.sh
source "$HERE/installing.sh"

readonly CHECKOUT=${2:-$(dirname "$(dirname "$HERE")")}
readonly IMAGE=localhost/rheostat:${3:-$SUITE}
readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

BIN=$("$HERE/containers.sh")
BASE=$("$HERE/debian_image.sh" "$SUITE")
alone
# The network of a test machine may have certificates of its own, which a fresh Debian does not know.
SECRET=$(mktemp)
trap 'rm -f "$SECRET"' EXIT
printf '[global]\ncert = /run/certificates.pem\n' > "$SECRET"
say "building $IMAGE ..."
# The docker format, since the OCI format has no place for a HEALTHCHECK.
quietly "$BIN/buildah" build --isolation chroot --pull=never --layers --format docker \
    --volume "$CERTIFICATES:/run/certificates.pem:ro" --secret "id=pip,src=$SECRET" \
    --build-arg "BASE=$BASE" --build-arg VARIANT=none \
    --build-arg VERSION=0.0.0 --build-arg REVISION=0000000 --build-arg CREATED=1970-01-01T00:00:00Z \
    --tag "$IMAGE" "$CHECKOUT"
echo "$IMAGE"
