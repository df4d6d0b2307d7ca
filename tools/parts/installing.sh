# Sourced by the scripts beside it: how a part of the tests is installed, and how a script says that
# it cannot be had. PART is the name it speaks by.
# shellcheck shell=bash

# Parts that no package manager keeps; outside the checkout, so that they outlive it.
readonly PARTS=${XDG_CACHE_HOME:-$HOME/.cache}/rheostat-parts
mkdir -p "$PARTS"

say() { echo "$PART: $*" >&2; }

# Code 69 (EX_UNAVAILABLE) tells the tests to skip, with the last line on stderr as the reason.
cannot() {
    say "not available: $*"
    exit 69
}

# Runs a command whose output matters only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" > "$log" 2>&1 || {
        status=$?
        tail -n 20 "$log" >&2
    }
    rm -f "$log"
    return "$status"
}

# Keeps others from making the same part at the same time, until this script ends.
alone() {
    exec 9> "$PARTS/$PART.lock"
    flock --nonblock 9 || {
        say "somebody else is making it, waiting"
        flock 9
    }
}

is_installed() {
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2> /dev/null) == installed ]]
}

install_packages() {
    command -v apt-get > /dev/null || cannot "this is not Debian"
    local missing=() package
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || cannot "it takes root to install ${missing[*]}"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install
        --yes -qq --no-install-recommends "${missing[@]}")
    # A second try with fresh lists: the first fails on a machine whose lists are empty or old.
    "${install[@]}" > /dev/null 2>&1 ||
        { apt-get update -qq > /dev/null 2>&1 && quietly "${install[@]}"; } ||
        cannot "apt-get could not install ${missing[*]}"
}

# Prints the Debian mirror that this machine uses already.
debian_mirror() {
    local mirror
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1)
    [[ -n $mirror ]] || cannot "this machine knows no Debian mirror"
    echo "$mirror"
}
