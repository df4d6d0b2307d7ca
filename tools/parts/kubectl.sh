#!/usr/bin/env bash
# Gives the tests of the docs a kubectl. Prints its path.
#
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=kubectl
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

alone
command -v kubectl || {
    install_packages kubernetes-client
    command -v kubectl
}
