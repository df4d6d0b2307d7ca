#!/usr/bin/env bash
# Look the locked packages up among those with known holes. Where no database is in reach, say so.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${1:-.venv/bin}

"$bin"/python -m pip_audit --version > /dev/null 2>&1 ||
    "$bin"/python -m pip --disable-pip-version-check -qq install 'pip-audit>=2.7' 2> /dev/null ||
    { echo "SKIPPED pip-audit: it cannot be had here"; exit 0; }

said=$(timeout 120 "$bin"/python -m pip_audit --disable-pip --require-hashes \
    --progress-spinner off --requirement locks/base.txt --requirement locks/torch.txt 2>&1)
code=$?
unknown=$(grep -c 'could not be audited' <<< "$said")
packages=$(cat locks/base.txt locks/torch.txt | grep -o '^[a-zA-Z0-9._-]*==' | sort -u | wc -l)
if ((code)) && ! grep -q 'known vulnerabilit' <<< "$said"; then
    echo "SKIPPED pip-audit: no database is in reach ($(tail -n 1 <<< "$said" | cut -c 1-120))"
elif ((unknown >= packages - 1)); then
    echo "SKIPPED pip-audit: the index in reach knows of no package's holes"
else
    echo "$said"
    exit "$code"
fi
