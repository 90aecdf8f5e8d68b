"""Small configurations, good and bad: promtool and rulepush agree on which can be used.

Left out is what rulepush says it does not support, what it adds, and what
promtool takes by accident (`sample_limit: 1.5`).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rulepush.config import load_config
from rulepush.errors import ConfigError
from tests.servers import binary

JOB = "scrape_configs: [{job_name: a, %s}]"
RELABEL = JOB % "relabel_configs: [{%s}]"
STATIC = JOB % "static_configs: [%s]"
MANAGER = "alerting: {alertmanagers: [{%s}]}"
K8S = JOB % "kubernetes_sd_configs: [{%s}]"
SELECT = K8S % "role: pod, selectors: [{role: pod, %s}]"
WRITE = "remote_write: [{url: 'http://w', %s}]"

CASES = [
    "global: {}",
    "global:",
    "global: {scrape_interval: 15s, scrape_timeout: 15s}",
    "global: {scrape_interval: 15s, scrape_timeout: 16s}",
    "global: {scrape_interval: 1h30m, evaluation_interval: 1d, scrape_timeout: 10s}",
    "global: {scrape_interval: 15}",
    "global: {scrape_interval: '0'}",
    "global: {scrape_interval: 0s}",
    "global: {scrape_interval: 1m1h}",
    "global: {scrape_interval: -1s}",
    "global: {scrape_interval: 1.5s}",
    "global: {scrape_interval: [15s]}",
    "global: {external_labels: {a: b, c: 1, d: true, e: null}}",
    "global: {external_labels: {a: [b]}}",
    "global: {external_labels: [a]}",
    "global: {query_log_file: x}",
    "global: {unknown: x}",
    "globals: {}",
    "rule_files: [a.yml, 'b/*.yml']",
    "rule_files: ['a*/b.yml']",
    "rule_files: a.yml",
    "rule_files:",
    "tracing: {endpoint: 'localhost:4317'}",
    "scrape_configs:",
    "scrape_configs: []",
    "scrape_configs: {}",
    "scrape_configs: [{}]",
    "scrape_configs: [{job_name: ''}]",
    "scrape_configs: [{job_name: a}, {job_name: a}]",
    "scrape_configs: [{job_name: a}, {job_name: b}]",
    "scrape_configs: [{job_name: a, job_name: b}]",
    "scrape_configs: [{job_name: 1}]",
    JOB % "scrape_interval: 5s",
    JOB % "scrape_interval: 5s, scrape_timeout: 6s",
    JOB % "scrape_timeout: 2m",
    JOB % "metrics_path: ''",
    JOB % "scheme: http",
    JOB % "honor_labels: yes",
    JOB % "honor_labels: 1",
    JOB % "params: {a: [b, 'c'], d: []}",
    JOB % "params: {a: b}",
    JOB % "sample_limit: 10",
    JOB % "sample_limit: -10",
    JOB % "sample_limit: 0x10",
    JOB % "label_limit: '10'",
    JOB % "honor_labels: 'true'",
    JOB % "scrape_interval: '10s', body_size_limit: '10MB'",
    JOB % "body_size_limit: 10MB",
    JOB % "body_size_limit: 10MiB",
    JOB % "body_size_limit: 0",
    JOB % "body_size_limit: 10",
    JOB % "body_size_limit: 10mb",
    JOB % "kubernetes_sd: []",
    STATIC % "{targets: [a, b], labels: {x: y}}",
    STATIC % "{targets: [1]}",
    STATIC % "{targets: a}",
    STATIC % "{targets: ['http://a']}",
    STATIC % "{targets: [a/b]}",
    STATIC % "{labels: {x: y}}",
    STATIC % "{labels: {'': y}}",
    STATIC % "{target: [a]}",
    STATIC % "a",
    JOB % "static_configs: {targets: [a]}",
    JOB % "file_sd_configs: [{files: [a.json, 'b/*.yml', c.yaml]}]",
    JOB % "file_sd_configs: [{files: [a.txt]}]",
    JOB % "file_sd_configs: [{files: ['*/a.json']}]",
    JOB % "file_sd_configs: [{files: []}]",
    JOB % "file_sd_configs: [{}]",
    JOB % "file_sd_configs: [{files: [a.json], refresh_interval: 1m}]",
    JOB % "http_sd_configs: [{url: 'http://x/y'}]",
    JOB % "http_sd_configs: [{url: ''}]",
    JOB % "http_sd_configs: [{url: 'ftp://x'}]",
    JOB % "http_sd_configs: [{url: 'http://'}]",
    JOB % "http_sd_configs: [{url: 'http://x', basic_auth: {username: a}, refresh_interval: 5s}]",
    JOB % "docker_sd_configs: [{host: 'unix:///var/run/docker.sock'}]",
    JOB % "docker_sd_configs: [{}]",
    JOB % "docker_sd_configs: [{host: ''}]",
    JOB % "docker_sd_configs: [{host: 'tcp://d:1', filters: [{name: a, values: [b]}], match_first_network: false}]",
    JOB % "docker_sd_configs: [{host: 'tcp://d:1', filters: [{name: a, value: b}]}]",
    JOB % "docker_sd_configs: [{host: 'tcp://d:1', port: x}]",
    JOB % "docker_sd_configs: [{host: 'tcp://d:1', basic_auth: {username: a}, authorization: {credentials: c}}]",
    JOB % "docker_sd_configs: [{host: 'tcp://d:1', refresh_interval: 5s, host_networking_host: h, port: 9}]",
    JOB % "dns_sd_configs: [{names: [a]}]",
    JOB % "dns_sd_configs: [{names: []}]",
    JOB % "dns_sd_configs: [{names: [a], type: A}]",
    JOB % "dns_sd_configs: [{names: [a], type: a, port: 80}]",
    JOB % "dns_sd_configs: [{names: [a], type: MX, port: 80}]",
    JOB % "dns_sd_configs: [{names: [a], type: TXT}]",
    K8S % "role: pod",
    K8S % "",
    K8S % "role: pods",
    K8S % "role: Pod",
    K8S % "role: endpoints, api_server: 'https://k:6443', tls_config: {ca_file: /dev/null}",
    K8S % "role: endpoints, api_server: 'https://k', kubeconfig_file: /dev/null",
    K8S % "role: endpoints, kubeconfig_file: /dev/null",
    K8S % "role: endpoints, kubeconfig_file: /dev/null, basic_auth: {username: a}",
    K8S % "role: endpoints, kubeconfig_file: /dev/null, namespaces: {own_namespace: true}",
    K8S % "role: node, api_server: 'k:443'",
    K8S % "role: node, api_server: 'https://k', namespaces: {own_namespace: true}",
    K8S % "role: node, namespaces: {own_namespace: true, names: [a, b]}",
    K8S % "role: node, namespaces: {name: [a]}",
    K8S % "role: node, namespaces: [a]",
    K8S % "role: node, bearer_token: a",
    K8S % "role: node, enable_http2: false",
    K8S % "role: node, follow_redirects: true, tls_config: {}",
    K8S % "role: service, api_server: 'https://k', bearer_token: a, basic_auth: {}",
    K8S % "role: endpointslice, attach_metadata: {node: true}",
    K8S % "role: endpointslice, attach_metadata: {pod: true}",
    K8S % "role: ingress, selectors: [{role: ingress, label: a=b, field: metadata.name=c}]",
    K8S % "role: ingress, selectors: [{role: node, label: a=b}]",
    K8S % "role: endpoints, selectors: [{role: pod}, {role: service}, {role: endpoints}]",
    K8S % "role: endpoints, selectors: [{role: endpointslice}]",
    K8S % "role: endpointslice, selectors: [{role: pod}, {role: pod}]",
    K8S % "role: pod, selectors: [{label: a}]",
    SELECT % "label: 'a in (b,c),!d,e notin (f),g>3'",
    SELECT % "label: 'a in b'",
    SELECT % "label: 'a b'",
    SELECT % "label: 'a,'",
    SELECT % "label: 'a=-b'",
    SELECT % "label: 'X/a=b'",
    SELECT % "label: 'a<+3'",
    SELECT % "field: 'a=b,c!=d,e==f'",
    SELECT % "field: 'a'",
    SELECT % "field: 'a=b=c'",
    SELECT % "field: 'a\\=b'",
    SELECT % "fields: 'a=b'",
    MANAGER % "kubernetes_sd_configs: [{role: pod}]",
    JOB % "basic_auth: {username: a, password: b}",
    JOB % "basic_auth: {username: a, password: b, password_file: c}",
    JOB % "basic_auth: {user: a}",
    JOB % "basic_auth: {}, bearer_token: a",
    JOB % "bearer_token: a",
    JOB % "bearer_token: a, bearer_token_file: b",
    JOB % "authorization: {credentials: a}",
    JOB % "authorization: {type: Basic}",
    JOB % "authorization: {type: ' bearer '}",
    JOB % "authorization: {credentials: a, credentials_file: b}",
    JOB % "authorization: {credentials: a}, bearer_token: b",
    JOB % "authorization: {}, basic_auth: {}",
    JOB % "oauth2: {client_id: a, client_secret: b, token_url: 'http://t'}",
    JOB % "oauth2: {client_id: a, client_secret: b, client_secret_file: c, token_url: 'http://t'}",
    JOB % "oauth2: {client_id: a}",
    JOB % "oauth2: {token_url: 'http://t'}",
    JOB % "oauth2: {client_id: a, token_url: 'http://t'}, basic_auth: {}",
    JOB % "tls_config: {insecure_skip_verify: true, server_name: x, min_version: TLS12}",
    JOB % "tls_config: {min_version: TLS14}",
    JOB % "tls_config: {unknown: 1}",
    JOB % "proxy_url: 'http://p', proxy_from_environment: true",
    JOB % "follow_redirects: false, enable_http2: false",
    RELABEL % "",
    RELABEL % "source_labels: [a], target_label: b",
    RELABEL % "source_labels: [a]",
    RELABEL % "source_labels: a, target_label: b",
    RELABEL % "target_label: b, replacement: c",
    RELABEL % "target_label: '${1}', regex: '(.*)', source_labels: [a]",
    RELABEL % "target_label: 'b$1', source_labels: [a]",
    RELABEL % "action: Replace, source_labels: [a], target_label: b",
    RELABEL % "action: replaced, source_labels: [a], target_label: b",
    RELABEL % "action: ''",
    RELABEL % "action: keep",
    RELABEL % "action: keep, source_labels: [a], regex: b",
    RELABEL % "action: keep, source_labels: [a], regex: '('",
    RELABEL % "action: keep, source_labels: [a], regex: '(?!a)'",
    RELABEL % "action: keep, source_labels: [a], regex: 1",
    RELABEL % "action: hashmod, source_labels: [a], target_label: b, modulus: 3",
    RELABEL % "action: hashmod, source_labels: [a], target_label: b",
    RELABEL % "action: hashmod, source_labels: [a], modulus: 3",
    RELABEL % "action: labelmap, regex: 'a(.*)'",
    RELABEL % "action: labelmap, replacement: ''",
    RELABEL % "action: labeldrop, regex: a",
    RELABEL % "action: labeldrop, regex: a, source_labels: [b]",
    RELABEL % "action: labelkeep, regex: a, target_label: b",
    RELABEL % "action: lowercase, source_labels: [a], target_label: b",
    RELABEL % "action: lowercase, source_labels: [a], target_label: b, replacement: c",
    RELABEL % "action: uppercase, source_labels: [a]",
    RELABEL % "action: keepequal, source_labels: [a], target_label: b",
    RELABEL % "action: keepequal, source_labels: [a], target_label: b, regex: c",
    RELABEL % "action: dropequal, source_labels: [a]",
    RELABEL % "source_label: [a], target_label: b",
    JOB % "relabel_configs: [null]",
    JOB % "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: x}]",
    MANAGER % "static_configs: [{targets: ['a:1']}]",
    MANAGER % "scheme: https, path_prefix: /x, timeout: 5s, api_version: v2",
    MANAGER % "api_version: v3",
    MANAGER % "static_configs: [{targets: ['http://a']}]",
    MANAGER % "relabel_configs: [{target_label: a}], bearer_token: x",
    MANAGER % "timeouts: 5s",
    "alerting: {alert_relabel_configs: [{action: labeldrop, regex: a}]}",
    "alerting: {alert_relabel_configs: [{action: drops}]}",
    WRITE % "name: a",
    WRITE % "remote_timeout: 5s, send_exemplars: true, headers: {a: b}",
    WRITE % "headers: {Authorization: b}",
    WRITE % "headers: {Content-Type: b}",
    WRITE % "write_relabel_configs: [{action: keep, source_labels: [a]}]",
    WRITE % "queue_config: {capacity: 1, max_shards: 2, min_backoff: 1s, retry_on_http_429: true}",
    WRITE % "queue_config: {capacities: 1}",
    WRITE % "metadata_config: {send: false, send_interval: 1m, max_samples_per_send: 1}",
    "remote_write: [{name: a}]",
    "remote_write: [{url: 'http://a', name: x}, {url: 'http://b', name: x}]",
    "remote_read: [{url: 'http://a'}]",
    "storage: {tsdb: {out_of_order_time_window: 30m}, exemplars: {max_exemplars: 1}}",
    "a: &x [1]\nb: *x",
    "x: [",
    "",
]


@pytest.mark.e2e
def test_promtool_agrees_on_what_can_be_used(tmp_path: Path) -> None:
    program = binary("promtool")
    files = []
    for i, text in enumerate(CASES):
        files.append(tmp_path / f"{i}.yml")
        files[-1].write_text(text)
    command = [program, "check", "config", "--syntax-only", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    good = {f for f in files if f"SUCCESS: {f} is valid" in done.stdout}
    assert 40 < len(good) < len(files) - 40
    disagreements = []
    for text, file in zip(CASES, files, strict=True):
        try:
            load_config(str(file))
            error = ""
        except ConfigError as e:
            error = str(e)
        if (file in good) != (error == ""):
            disagreements.append(f"{text!r}: promtool {'takes' if file in good else 'refuses'} it, here: {error}")
    assert not disagreements, "\n".join(disagreements)
