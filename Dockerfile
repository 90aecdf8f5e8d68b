# docker build -t rulepush .
#
# Two stages on the same slim Debian: the first builds a virtual environment, the second gets the environment and a Python.
# What runs: user 10001, no shell needed, root file system read-only, one writable directory (/var/lib/rulepush).

FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
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

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 tini ca-certificates \
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
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["/opt/rulepush/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9095/-/healthy', timeout=4)"]
# tini passes SIGTERM on, and rulepush then sends or saves what is pending within 10 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/rulepush/bin/rulepush"]
CMD ["run", "--config.file=/etc/rulepush/prometheus.yml", "--storage.path=/var/lib/rulepush", "--web.listen-address=0.0.0.0:9095"]
