#!/usr/bin/env bash
# Gives the tests buildah and podman, set up to work inside a virtual machine or a container, with
# images and containers of their own. Prints the folder of the two commands.
# Where they cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly PART=containers
# shellcheck source=tools/parts/installing.sh
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"

readonly HOME_OF_CONTAINERS=$PARTS/containers

# The three settings that differ from the defaults: limits and cgroups that a nested machine may not
# set, and crun, which refuses hybrid cgroups.
write_configuration() {
    cat > "$HOME_OF_CONTAINERS/containers.conf" << 'CONFIG'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
CONFIG
    cat > "$HOME_OF_CONTAINERS/storage.conf" << CONFIG
[storage]
driver = "overlay"
graphroot = "$HOME_OF_CONTAINERS/storage"
runroot = "$HOME_OF_CONTAINERS/run"
CONFIG
}

write_command() {
    local command=$HOME_OF_CONTAINERS/bin/$1
    cat > "$command" << COMMAND
#!/bin/sh
export CONTAINERS_CONF="$HOME_OF_CONTAINERS/containers.conf"
export CONTAINERS_STORAGE_CONF="$HOME_OF_CONTAINERS/storage.conf"
exec /usr/bin/$1 "\$@"
COMMAND
    chmod +x "$command"
}

((EUID == 0)) || cannot "it takes root to run containers here"
alone
install_packages buildah podman runc catatonit
mkdir -p "$HOME_OF_CONTAINERS/bin"
write_configuration
write_command buildah
write_command podman
quietly "$HOME_OF_CONTAINERS/bin/podman" info || cannot "podman does not start"
echo "$HOME_OF_CONTAINERS/bin"
