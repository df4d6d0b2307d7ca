# Rheostat in a container; docs/image.md says how to build it and how to run it.
#
# The layers, from what changes least to what changes most: Debian and Python, torch, the other
# dependencies, Rheostat. A change of our code ships the last one only: three megabytes.

# A release pins the digest: --build-arg BASE=debian:trixie-slim@sha256:...
ARG BASE=debian:trixie-slim

# checkov:skip=CKV_DOCKER_7: BASE has a tag
FROM ${BASE} AS python
# No versions: Debian's mirrors drop a package when its security update comes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

FROM python AS builder
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1
WORKDIR /build

FROM builder AS dependencies
# cuda: torch as PyPI has it. cpu: torch without CUDA. none: no torch; it is mounted at /opt/torch.
ARG VARIANT=cuda
# Where torch comes from if not from PyPI: another CUDA version, or a mirror. Beside PyPI is enough, since
# a version with a variant in it, 2.14.1+cpu, is newer to pip than the 2.14.1 of PyPI.
ARG TORCH_INDEX=
COPY constraints.txt ./
COPY locks ./locks
# Every file that is installed has a hash in locks/, but torch where it comes from another index. The packages that are large and change seldom move to a layer of their own. The byte code does not
# look at the sources' times, so that equal packages are equal files.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    case "${VARIANT}" in \
        cuda) index="${TORCH_INDEX}" ;; \
        cpu) index="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" ;; \
        none) index="" ;; \
        *) echo "VARIANT=${VARIANT}: expected cuda, cpu or none" >&2 && exit 2 ;; \
    esac \
    && python3 -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python3 install --only-binary :all: --require-hashes \
        --requirement locks/base.txt \
    && if [ -n "${index}" ]; then \
        pip --python /opt/venv/bin/python3 install --only-binary :all: \
            --constraint constraints.txt --extra-index-url "${index}" torch torchvision; \
    elif [ "${VARIANT}" != none ]; then \
        pip --python /opt/venv/bin/python3 install --only-binary :all: --require-hashes \
            --requirement locks/torch.txt; \
    fi \
    && site_packages="$(echo /opt/venv/lib/python3.*/site-packages)" \
    && mkdir /opt/torch \
    && find "${site_packages}" -maxdepth 1 \
        -regex '.*/site-packages/\(torch\|functorch\|triton\|nvidia\|cuda\).*' \
        -exec mv --target-directory /opt/torch {} + \
    && printf '%s\n' /opt/torch /opt/rheostat > "${site_packages}/layers.pth" \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv /opt/torch

# What is in the image, for those who look for known holes: read from what is installed.
FROM dependencies AS sbom
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv --without-pip /opt/sbom \
    && pip --python /opt/sbom/bin/python3 install --only-binary :all: --require-hashes \
        --requirement locks/sbom.txt \
    && /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml \
        --output-reproducible --output-file sbom.cdx.json /opt/venv/bin/python3

FROM dependencies AS rheostat
COPY pyproject.toml README.md LICENSE ./
COPY daemon ./daemon
COPY policies ./policies
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip --python /opt/venv/bin/python3 install --no-deps --target /opt/rheostat . \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/rheostat

FROM python
# Nothing in here needs another user's rights.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --gid 10001 rheostat \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rheostat \
    && install --directory --owner 10001 --group 10001 --mode 700 /var/lib/rheostat \
    && install --directory /data
COPY --from=dependencies /opt/torch /opt/torch
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=sbom /build/sbom.cdx.json /usr/share/rheostat/sbom.cdx.json
COPY --from=rheostat /opt/rheostat /opt/rheostat

# Of the file system only /tmp and the state need to be writable; caches go under HOME. The health port
# answers the HEALTHCHECK within the container; the addresses that others call are the caller's choice.
ENV PATH=/opt/rheostat/bin:/opt/venv/bin:${PATH} \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    RHEOSTAT_STATE_DIR=/var/lib/rheostat \
    RHEOSTAT_LOG_FORMAT=json \
    RHEOSTAT_DATA_ROOT=/data \
    RHEOSTAT_HEALTH_ADDRESS=127.0.0.1:9465
VOLUME ["/var/lib/rheostat"]
EXPOSE 50051 9464 9465
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python3", "-c", "import os; from urllib.request import urlopen; urlopen('http://' + os.environ['RHEOSTAT_HEALTH_ADDRESS'] + '/healthz')"]
ENTRYPOINT ["tini", "--", "rheostat"]
CMD ["serve"]

ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Rheostat" \
    org.opencontainers.image.description="A training daemon whose learning rate you can change while it trains" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
