#!/usr/bin/env bash
# Gives the tests a browser, Debian's Chromium. Prints its command.
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=chromium
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

alone
install_packages chromium
command -v chromium
