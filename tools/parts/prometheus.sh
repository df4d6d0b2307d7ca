#!/usr/bin/env bash
# Gives the tests Prometheus and promtool. Prints the folder of the commands.
# Where they cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=prometheus
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

alone
command -v prometheus promtool > /dev/null || install_packages prometheus
dirname "$(command -v promtool)"
