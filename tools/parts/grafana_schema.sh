#!/usr/bin/env bash
# Gives the tests the types of Grafana's dashboards and a TypeScript compiler. Prints the folder that
# holds node_modules.
# Where they cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=grafana_schema
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

readonly SCHEMA=13.2.3
readonly TYPESCRIPT=5.9.3
readonly FOLDER=$PARTS/grafana-schema-$SCHEMA-typescript-$TYPESCRIPT

command -v node npm > /dev/null || cannot "there is no node here"
alone
if [[ ! -f $FOLDER/complete ]]; then
    say "installing @grafana/schema $SCHEMA, some seconds ..."
    rm -rf "$FOLDER"
    mkdir "$FOLDER"
    # No scripts: a package is only read here, not run.
    quietly npm install --prefix "$FOLDER" --ignore-scripts --no-audit --no-fund \
        "@grafana/schema@$SCHEMA" "typescript@$TYPESCRIPT" || cannot "npm could not install them"
    touch "$FOLDER/complete"
fi
echo "$FOLDER"
