"""The text of kubernetes/sidecar.yaml: rulepush in the pod of an application, with its configuration in a ConfigMap."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from rulepush.init.addresses import Address
from rulepush.init.prometheus_yml import quoted, yaml_name
from rulepush.init.setup import CONTAINER_USER, PORT, SIDECAR, ScrapeJob, Setup
from rulepush.init.wording import comment, wording

_IN_IMAGE: Final = "/usr/share/rulepush/rules"
_IN_CLUSTER: Final = Address("http", "alertmanager:9093")
_ALONE: Final = ("self",)  # a pack that no sidecar needs: what is about rulepush itself is said by its liveness probe


def sidecar_yaml(setup: Setup) -> str:
    """For the first job of the setup, whose application is in the same pod."""
    say = wording(setup.language)
    job = setup.jobs[0]
    name = _dns_label(job.name)
    head = say(
        f"rulepush beside {name}, in the same pod: it scrapes 127.0.0.1, so no other pod needs the metrics port.\n"
        f"  kubectl apply -f {SIDECAR}\n"
        "Of an application that has a Deployment already, take over into it the container rulepush and the volumes.\n"
        "\n"
        "A sidecar sees its own application only, and dies with the pod: that a pod is gone, or restarts again and\n"
        "again, somebody else has to tell (kube-state-metrics, or a rulepush of its own).",
        f"rulepush 与 {name} 在同一个 Pod 中：它抓取 127.0.0.1，其他 Pod 不需要访问指标端口。\n"
        f"  kubectl apply -f {SIDECAR}\n"
        "如果应用已有 Deployment，请把其中的 rulepush 容器和 volumes 合并进去。\n"
        "\n"
        "sidecar 只能看到自己的应用，并随 Pod 一起消失：Pod 没了或反复重启，需要由别的程序发现\n"
        "（kube-state-metrics，或单独部署的 rulepush）。",
    )
    reloaded = say(
        "A changed ConfigMap is loaded without a restart (--config.auto-reload-interval): the kubelet brings it in\n"
        "about a minute.",
        "修改 ConfigMap 后无需重启（--config.auto-reload-interval）：kubelet 约一分钟内更新文件。",
    )
    own = say("Your own rules.", "您自己的规则。")
    phones = say(
        "The address that links in messages lead to: that of an Ingress or a Service for port 9095.",
        "消息中的链接指向这个地址：9095 端口的 Ingress 或 Service 的地址。",
    )
    no_readiness = say(
        "No readiness probe: alerting must not decide whether the application gets traffic.",
        "不设 readinessProbe：告警不应决定应用是否接收流量。",
    )
    survives = say("Survives restarts of the container, not of the pod.", "容器重启后仍在，Pod 重建后消失。")
    image = say("Your image.", "您的镜像。")
    return f"""\
{comment(head)}\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}-rulepush
  labels: {{app.kubernetes.io/name: {name}}}
data:
{comment(reloaded, "  ")}\
  prometheus.yml: |
{textwrap.indent(_config(setup, job, name), "    ")}\
  rules.yml: |
    # {own}
    groups: []
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: {name}}}
spec:
  replicas: 1
  selector:
    matchLabels: {{app.kubernetes.io/name: {name}}}
  template:
    metadata:
      labels: {{app.kubernetes.io/name: {name}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - name: {name}
          # {image}
          image: {name}:latest
          env:
            - {{name: MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE, value: "health,prometheus"}}
            - {{name: MANAGEMENT_METRICS_TAGS_APPLICATION, value: {name}}}
          ports:
            - {{name: app, containerPort: {_port(job)}}}
        - name: rulepush
          image: rulepush:latest
          imagePullPolicy: IfNotPresent
          args:
            - run
            - --config.file=/etc/rulepush/prometheus.yml
            - --config.auto-reload-interval=30s
            - --storage.path=/var/lib/rulepush
            - --web.listen-address=0.0.0.0:{PORT}
            # {phones}
            - --web.external-url={setup.external_url}
          env:
            - name: POD_NAME
              valueFrom:
                fieldRef: {{fieldPath: metadata.name}}
          ports:
            - {{name: rulepush, containerPort: {PORT}}}
          livenessProbe:
            httpGet: {{path: {setup.prefix}/-/healthy, port: rulepush}}
            periodSeconds: 20
            timeoutSeconds: 5
          # {no_readiness}
          resources:
            requests: {{cpu: 10m, memory: 96Mi}}
            limits: {{memory: 256Mi}}
          securityContext:
            runAsNonRoot: true
            runAsUser: {CONTAINER_USER}
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
            seccompProfile: {{type: RuntimeDefault}}
          volumeMounts:
            - {{name: rulepush-config, mountPath: /etc/rulepush, readOnly: true}}
            - {{name: rulepush-data, mountPath: /var/lib/rulepush}}
            - {{name: tmp, mountPath: /tmp}}
      securityContext:
        fsGroup: {CONTAINER_USER}
      volumes:
        - name: rulepush-config
          configMap: {{name: {name}-rulepush}}
        # {survives}
        - name: rulepush-data
          emptyDir: {{}}
        - name: tmp
          emptyDir: {{}}
"""


def _config(setup: Setup, job: ScrapeJob, name: str) -> str:
    rules = "".join(f"  - {_IN_IMAGE}/{pack}.yml\n" for pack in setup.packs if pack not in _ALONE)
    scheme = f"    scheme: {job.scheme}\n" if job.scheme != "http" else ""
    return f"""\
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: {{pod: "${{POD_NAME}}"}}
rule_files:
{rules}\
  - /etc/rulepush/rules.yml
scrape_configs:
  - job_name: {yaml_name(job.name)}
{scheme}\
    metrics_path: {quoted(job.metrics_path)}
{_credentials(job)}\
    static_configs:
      - targets: ["127.0.0.1:{_port(job)}"]
    relabel_configs:
      - {{target_label: instance, replacement: {name}}}
alerting:
  alertmanagers:
{"".join(_alertmanagers(a for a in setup.alertmanagers if not a.is_loopback) or _alertmanagers([_IN_CLUSTER]))}"""


def _credentials(job: ScrapeJob) -> str:
    """A password has no place in a ConfigMap."""
    if not job.username:
        return ""
    file = "/etc/rulepush-secret/password"
    return (
        f"    # Mount a Secret at {file.rpartition('/')[0]}.\n"
        f"    basic_auth: {{username: {quoted(job.username)}, password_file: {file}}}\n"
    )


def _alertmanagers(addresses: Iterable[Address]) -> list[str]:
    """Without credentials, which have no place in a ConfigMap."""
    return [
        f"    - scheme: {a.scheme}\n"
        + (f"      path_prefix: {quoted(a.path)}\n" if a.path else "")
        + f"      static_configs:\n        - targets: [{quoted(a.host)}]\n"
        for a in addresses
    ]


def _port(job: ScrapeJob) -> int:
    return urlsplit(f"//{job.targets[0]}").port or (443 if job.scheme == "https" else 80)


def _dns_label(name: str) -> str:
    """As Kubernetes wants names: RFC 1123, lower case, at most 63 characters, here with room for "-rulepush"."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
    return kept[:54].strip("-") or "app"
