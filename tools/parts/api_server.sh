#!/usr/bin/env bash
# Runs a Kubernetes API server, and the etcd it stands on, until this script is ended; what they write
# goes to a folder. Prints the path of the administrator's kubeconfig as soon as the server answers.
#
# Usage: api_server.sh FOLDER
#
# No scheduler, no controllers and no kubelets: objects are kept, and nothing comes of them.
# Where it cannot be had, the exit code is 69 and the last line on stderr gives the reason.
set -euo pipefail

readonly FOLDER=$1
readonly PART=api-server
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/parts/installing.sh
source "$HERE/installing.sh"

readonly TOKEN=token-of-the-admin
readonly START_SECONDS=200 # of a machine that has other things to do, too

free_ports() {
    python3 - "$1" << 'PYTHON'
import socket, sys

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

start_etcd() {
    etcd --data-dir "$FOLDER/etcd" --unsafe-no-fsync --name test \
        --listen-client-urls "$1" --advertise-client-urls "$1" \
        --listen-peer-urls "$2" --initial-advertise-peer-urls "$2" --initial-cluster "test=$2" \
        > "$FOLDER/etcd.log" 2>&1 &
}

start_server() {
    openssl genrsa -out "$FOLDER/service-accounts.key" 2048 2> /dev/null
    install -m 600 /dev/stdin "$FOLDER/tokens.csv" <<< "$TOKEN,admin,1,\"system:masters\""
    "$BINARY" --etcd-servers "$1" --bind-address 127.0.0.1 --secure-port "$2" --insecure-port 0 \
        --advertise-address 127.0.0.1 --endpoint-reconciler-type none --cert-dir "$FOLDER" \
        --authorization-mode RBAC --token-auth-file "$FOLDER/tokens.csv" --anonymous-auth=false \
        --service-cluster-ip-range 10.96.0.0/24 \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-signing-key-file "$FOLDER/service-accounts.key" \
        --service-account-key-file "$FOLDER/service-accounts.key" \
        --disable-admission-plugins ServiceAccount --profiling=false \
        > "$FOLDER/api-server.log" 2>&1 &
}

write_kubeconfig() {
    install -m 600 /dev/stdin "$KUBECONFIG" << CONFIG
apiVersion: v1
kind: Config
clusters:
  - name: test
    cluster: {server: "$1", certificate-authority: "$FOLDER/apiserver.crt"}
users:
  - name: admin
    user: {token: $TOKEN}
contexts:
  - name: test
    context: {cluster: test, user: admin}
current-context: test
CONFIG
}

wait_until_ready() {
    local deadline=$((SECONDS + START_SECONDS))
    until curl --silent --fail --output /dev/null --cacert "$FOLDER/apiserver.crt" \
        --header "Authorization: Bearer $TOKEN" "$1/readyz"; do
        ((SECONDS < deadline)) || {
            tail -n 20 "$FOLDER/api-server.log" >&2
            exit 1
        }
        sleep 0.2
    done
}

BINARY=$("$HERE/kube_apiserver.sh")
install_packages curl openssl
mkdir -p "$FOLDER"
KUBECONFIG=$FOLDER/kubeconfig
read -r ETCD PEER SERVER < <(free_ports 3)
# Killed: told to end, an API server waits a minute for those who watch.
trap 'kill -KILL $(jobs -p) 2> /dev/null' EXIT
trap exit TERM INT
start_etcd "http://127.0.0.1:$ETCD" "http://127.0.0.1:$PEER"
start_server "http://127.0.0.1:$ETCD" "$SERVER"
write_kubeconfig "https://127.0.0.1:$SERVER"
wait_until_ready "https://127.0.0.1:$SERVER"
echo "$KUBECONFIG"
wait
