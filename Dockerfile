# docker build -t rulepush .
#
# Where Docker Hub, Debian or PyPI are slow, or not reached, mirrors of theirs:
#   docker build -t rulepush \
#     --build-arg BASE_IMAGE=docker.m.daocloud.io/library/debian:bookworm-20260824-slim \
#     --build-arg DEBIAN_MIRROR=mirrors.tuna.tsinghua.edu.cn \
#     --build-arg PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple .
#
# What is pinned: the base image by its digest, each Python package by its hash (requirements/), Debian's packages to the
# version that the release keeps for good. Their last digit is not: Debian removes a version from its mirrors when a security
# fix takes its place, and a build that names it would fail from then on. For the same image again, bit by bit as far as
# Debian goes, take the packages of one moment: --build-arg DEBIAN_SNAPSHOT=20261120T000000Z (from snapshot.debian.org).
#
# Two stages on the same slim Debian: the first builds a virtual environment, the second gets the environment and a Python.
# What runs: user 10001, no shell needed, root file system read-only, one writable directory (/var/lib/rulepush).

ARG BASE_IMAGE=debian:bookworm-20260824-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
FROM ${BASE_IMAGE} AS debian
# Host of a mirror with /debian and /debian-security; without a scheme or with any: it is asked by http, for there are no root
# certificates yet. What comes is signed by Debian.
ARG DEBIAN_MIRROR=deb.debian.org
ARG DEBIAN_SNAPSHOT=
RUN set -eu; host="${DEBIAN_MIRROR#*://}"; host="${host%/}"; \
    sed -i "s|http://deb\.debian\.org/|http://${host}/|" /etc/apt/sources.list.d/debian.sources; \
    if [ -n "${DEBIAN_SNAPSHOT}" ]; then \
      sed -i "s|^URIs: .*/\(debian[a-z-]*\)$|URIs: http://snapshot.debian.org/archive/\1/${DEBIAN_SNAPSHOT}|" \
        /etc/apt/sources.list.d/debian.sources; \
      echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/snapshot; \
    fi

FROM debian AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends 'python3=3.11.*' 'python3-venv=3.11.*' ca-certificates \
 && rm -rf /var/lib/apt/lists/*
ARG PIP_INDEX_URL=https://pypi.org/simple
ARG PIP_TRUSTED_HOST=
RUN python3 -m venv /opt/rulepush
WORKDIR /src
# The lock first: its layer stays as long as the lock does.
COPY requirements ./requirements
RUN /opt/rulepush/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r requirements/run.txt -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY rulepush ./rulepush
COPY rules ./rules
# Everything that only builds or tests goes: the image is copied from what is left. Bytecode is compiled here, for at run time
# nothing can be written beside the sources. The link has one path for the packs, whatever Python the image has.
RUN /opt/rulepush/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
 && cd / \
 && /opt/rulepush/bin/rulepush --version \
 && ln -s "$(/opt/rulepush/bin/python -c 'from rulepush.packs import pack_directory; print(pack_directory())')" \
      /opt/rulepush/rules \
 && /opt/rulepush/bin/pip uninstall --yes --quiet pip setuptools \
 && find /opt/rulepush -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find /opt/rulepush -name '*.pyi' -delete \
 && /opt/rulepush/bin/python -m compileall -q /opt/rulepush/lib

FROM debian
# The upgrade: security fixes since the base image was made.
RUN apt-get update \
 && apt-get upgrade --yes \
 && apt-get install --yes --no-install-recommends 'python3=3.11.*' 'tini=0.19.*' ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/rulepush \
 && install -d /etc/rulepush
COPY --from=build /opt/rulepush /opt/rulepush
# The packs, where `rule_files: [/usr/share/rulepush/rules/nacos.yml]` finds them.
RUN mkdir /usr/share/rulepush \
 && ln -s /opt/rulepush/rules /usr/share/rulepush/rules \
 && ln -s /opt/rulepush/bin/rulepush /usr/local/bin/rulepush
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1
USER 10001:10001
WORKDIR /etc/rulepush
VOLUME /var/lib/rulepush
EXPOSE 9095
# It finds the port, a prefix, TLS and the relay from the command line of the container. RULEPUSH_HEALTH_URL says it where
# something else starts rulepush, or a password is needed: https://user:password@127.0.0.1:9095/prefix.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["/opt/rulepush/bin/rulepush", "health"]
# tini passes SIGTERM on, and rulepush then sends or saves what is pending within 10 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/rulepush/bin/rulepush"]
CMD ["run", "--config.file=/etc/rulepush/prometheus.yml", "--storage.path=/var/lib/rulepush", "--web.listen-address=0.0.0.0:9095"]
