"""Loading a configuration: what it resolves to, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.config.sections import PROTOBUF_FIRST, SCRAPE_PROTOCOLS, KeepMode, RecordConfig, RemoteWriteMessage
from rulepush.discovery.static import StaticConfig
from rulepush.errors import ConfigError
from rulepush.exposition.entries import HistogramScraping
from rulepush.model.labels import Labels
from tests.config.loading import load, problems

FULL = """\
global:
  scrape_interval: 15s
  evaluation_interval: 20s
  rule_query_offset: 5s
  external_labels: {cluster: a, replica: 1}
  sample_limit: 1500
  body_size_limit: 15MB
  scrape_failure_log_file: fail.log
  query_log_file: query.log
runtime: {gogc: 42}
rule_files: [rules/*.yml, first.yml]
scrape_config_files: [jobs/*.yml]
storage:
  keep: all
  retention: 30m
  tsdb: {out_of_order_time_window: 30m}
  exemplars: {max_exemplars: 100}
  record: {retention: 12h, max_size: 100MB}
tracing: {endpoint: localhost:4317, client_type: grpc}
remote_read: [{url: http://remote/read, basic_auth: {username: a, password: hunter1}}]
otlp: {promote_resource_attributes: [a]}
scrape_configs:
  - job_name: nacos
    honor_labels: true
    honor_timestamps: false
    track_timestamps_staleness: true
    enable_compression: false
    fallback_scrape_protocol: PrometheusText0.0.4
    scrape_protocols: [PrometheusProto, PrometheusText0.0.4]
    scrape_timeout: 5s
    scheme: https
    metrics_path: /nacos/actuator/prometheus
    params: {includedNames: [a, b], x: ["1"]}
    sample_limit: 10
    label_limit: 30
    label_name_length_limit: 200
    label_value_length_limit: 201
    target_limit: 35
    scrape_native_histograms: false
    always_scrape_classic_histograms: true
    native_histogram_bucket_limit: 100
    metric_name_validation_scheme: legacy
    static_configs:
      - targets: [a:1, b:2]
        labels: {env: x, n: 1}
      - targets: []
    file_sd_configs: [{files: [targets/*.json], refresh_interval: 10m}]
    dns_sd_configs: [{names: [a], refresh_interval: 15s}]
    http_sd_configs: [{url: "http://sd/x"}]
    nacos_sd_configs: [{server: "http://nacos:8848", role: server}]
    kubernetes_sd_configs: []
    relabel_configs: [{source_labels: [__address__], target_label: instance}]
    metric_relabel_configs: [{action: labeldrop, regex: tmp}]
    basic_auth: {username: u, password_file: secrets/pw}
    tls_config: {ca_file: ca.pem, server_name: x, insecure_skip_verify: true, min_version: TLS12}
    proxy_url: http://proxy:3128
    no_proxy: a,b
    follow_redirects: false
    enable_http2: false
    http_headers: {X-A: {values: [v], secrets: [s], files: [f]}}
alerting:
  hold_on_scrape_failure: 5m
  alert_relabel_configs: [{action: labeldrop, regex: replica}]
  alertmanagers:
    - scheme: https
      path_prefix: /am
      timeout: 5s
      api_version: v2
      authorization: {type: Token, credentials: abc}
      static_configs: [{targets: [am:9093]}]
      relabel_configs: [{target_label: x}]
      alert_relabel_configs: [{target_label: y}]
remote_write:
  - url: http://rw:9090/api/v1/write
    name: central
    protobuf_message: io.prometheus.write.v2.Request
    send_native_histograms: true
    headers: {X-Scope-OrgID: t}
    queue_config: {capacity: 1, max_shards: 2, min_shards: 1, max_samples_per_send: 3, batch_send_deadline: 1s,
                   min_backoff: 1ms, max_backoff: 1s, retry_on_http_429: true, sample_age_limit: 1h}
    metadata_config: {send: false}
    buffer: {max_size: 1GB, max_age: 6h}
    oauth2: {client_id: i, client_secret: hunter2, token_url: "http://t/x", scopes: [a], endpoint_params: {k: v}}
pushgateways:
  - {url: "http://pg:9091", jobs: [nacos], grouping_key: [instance, zone], min_interval: 30s, delete_when_gone: false}
push_receiver: {default_ttl: 1h}
"""


def test_a_full_configuration_resolves_to_typed_sections(tmp_path: Path) -> None:
    for name in ("rules/b.yml", "rules/a.yml", "first.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/more.yml").write_text(
        "scrape_configs:\n- {job_name: more, bearer_token: hunter3, file_sd_configs: [{files: [t.json]}]}\n"
    )
    c = load(tmp_path, FULL)
    assert c.global_.scrape_interval_ms == 15_000
    assert c.global_.scrape_timeout_ms == 10_000
    assert c.global_.evaluation_interval_ms == 20_000
    assert c.global_.rule_query_offset_ms == 5_000
    assert c.global_.external_labels == Labels.of(cluster="a", replica="1")
    assert c.rule_files == tuple(str(tmp_path / n) for n in ("rules/a.yml", "rules/b.yml", "first.yml"))
    assert (c.storage.keep, c.storage.retention_ms) == (KeepMode.ALL, 1_800_000)
    assert c.storage.out_of_order_window_ms == 1_800_000
    assert c.storage.record == RecordConfig(12 * 3_600_000, 100 << 20)
    assert c.ignored == (
        "global.query_log_file",
        "global.scrape_failure_log_file",
        "storage.exemplars",
        "remote_write[0].queue_config.retry_on_http_429",
        "runtime",
        "tracing",
        "remote_read",
        "otlp",
    )

    nacos, more = c.scrape_configs
    assert (nacos.job_name, nacos.scrape_interval_ms, nacos.scrape_timeout_ms) == ("nacos", 15_000, 5_000)
    assert (nacos.honor_labels, nacos.honor_timestamps, nacos.track_timestamps_staleness) == (True, False, True)
    assert nacos.params == (("includedNames", ("a", "b")), ("x", ("1",)))
    assert nacos.scrape_protocols == ("PrometheusProto", "PrometheusText0.0.4")
    assert nacos.histograms == HistogramScraping(native=False, classic_too=True, bucket_limit=100)
    assert nacos.legacy_names
    assert (nacos.limits.samples, nacos.limits.body_size, nacos.limits.targets) == (10, 15 << 20, 35)
    assert [sd.kind for sd in nacos.sd_configs] == ["static", "static", "file", "http", "dns", "nacos"]
    first = nacos.sd_configs[0]
    assert isinstance(first, StaticConfig)
    assert [dict(t) for t in first.group().merged()] == [
        {"__address__": "a:1", "env": "x", "n": "1"},
        {"__address__": "b:2", "env": "x", "n": "1"},
    ]
    client = nacos.http_client
    assert client.basic_auth is not None
    assert client.basic_auth.password_file == str(tmp_path / "secrets/pw")
    assert client.tls.ca_file == str(tmp_path / "ca.pem")
    assert client.headers[0].files == (str(tmp_path / "f"),)
    assert not client.follow_redirects

    assert (more.limits.samples, more.scrape_timeout_ms, more.scheme) == (1500, 10_000, "http")
    assert more.http_client.authorization is not None
    assert more.http_client.authorization.credentials.reveal() == "hunter3"
    assert getattr(more.sd_configs[0], "files") == (str(tmp_path / "jobs/t.json"),)  # noqa: B009

    manager = c.alerting.alertmanagers[0]
    assert (manager.scheme, manager.path_prefix, manager.timeout_ms) == ("https", "/am", 5_000)
    assert c.alerting.hold_on_scrape_failure_ms == 300_000
    write = c.remote_write[0]
    assert (write.name, write.protobuf_message) == ("central", RemoteWriteMessage.V2)
    assert write.queue.sample_age_limit_ms == 3_600_000
    assert (write.buffer.max_bytes, write.buffer.max_age_ms) == (1 << 30, 21_600_000)
    assert c.pushgateways[0].grouping_key == ("instance", "zone")
    assert c.push_receiver.default_ttl_ms == 3_600_000

    for hidden in ("hunter1", "hunter2", "hunter3", "abc"):
        assert hidden not in c.rendered
        assert hidden not in repr(c)
    assert "password: <secret>" in c.rendered
    assert "client_secret: <secret>" in c.rendered
    assert "X-Scope-OrgID: <secret>" in c.rendered
    assert "job_name: more" in c.rendered


def test_tokens_in_addresses_are_masked(tmp_path: Path) -> None:
    c = load(
        tmp_path,
        """
remote_write: [{url: "http://u:hunter1@vm/write?x=1&token=hunter2"}]
scrape_configs: [{job_name: a, params: {accessToken: [hunter4], page: ["1"]}, http_sd_configs: [{url: "http://cmdb/sd?api_key=hunter3"}]}]
""",
    )
    assert "http://u:<secret>@vm/write?x=1&token=<secret>" in c.rendered
    assert "http://cmdb/sd?api_key=<secret>" in c.rendered
    assert c.scrape_configs[0].params == (("accessToken", ("hunter4",)), ("page", ("1",)))
    assert c.remote_write[0].url.reveal() == "http://u:hunter1@vm/write?x=1&token=hunter2"
    assert "hunter" not in c.rendered
    wrong = "remote_write: [{url: 'ftp://vm/write?token=hunter2'}]"
    with pytest.raises(ConfigError) as found:
        load(tmp_path, wrong)
    assert "ftp://vm/write?token=<secret>" in str(found.value)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    c = load(tmp_path, "")
    assert (c.global_.scrape_interval_ms, c.global_.scrape_timeout_ms) == (60_000, 10_000)
    assert c.scrape_configs == ()
    assert load(tmp_path, "global:\nscrape_configs:\nalerting:\nrule_files:\n").scrape_configs == ()


@pytest.mark.parametrize("text", ["null\n", "~", "# nothing\nnull"])
def test_a_null_is_an_empty_file(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).scrape_configs == ()


def test_timeouts_follow_short_intervals(tmp_path: Path) -> None:
    c = load(
        tmp_path, "global: {scrape_interval: 5s}\nscrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 2s}]"
    )
    assert [s.scrape_timeout_ms for s in c.scrape_configs] == [5_000, 2_000]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("globall: {}", ["1: unknown key 'globall' (did you mean 'global'?)"]),
        (
            "global:\n  scrape_interval: 15",
            ["2: global.scrape_interval: expected a duration such as 30s or 1h30m, got '15'"],
        ),
        ("global: []", ["1: global: expected a mapping, got a list"]),
        (
            "global: {scrape_interval: 5s, scrape_timeout: 6s}",
            ["1: global: global scrape timeout greater than scrape interval"],
        ),
        ("rule_files: a.yml", ["1: rule_files: expected a list, got 'a.yml'"]),
        ("rule_files: ['a/*/b.yml']", ['1: invalid rule file path "a/*/b.yml"']),
        ('rule_files: ["a\\0/*.yml"]', ['1: invalid rule file path "a\0/*.yml"']),
        ("scrape_configs:\n- {}", ["2: scrape_configs[0]: job_name is empty"]),
        ("scrape_configs:\n- job_name:", ["2: scrape_configs[0]: job_name is empty"]),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a",
            ['3: scrape_configs[1]: found multiple scrape configs with job name "a", the first in prometheus.yml:2'],
        ),
        (
            "scrape_configs:\n- job_name: a\n  job_name: b",
            ["3: scrape_configs[0]: key 'job_name' is already set in line 2"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [http://a]",
            ['4: scrape_configs[0].static_configs[0]: "http://a" is not a valid hostname'],
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs:\n  - target: [a]",
            ["4: scrape_configs[0].static_configs[0]: unknown key 'target' (did you mean 'targets'?)"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  marathon_sd_configs: [{server: x}]",
            [
                "3: scrape_configs[0]: marathon_sd_configs is not supported yet by rulepush (Prometheus knows it): let "
                "what knows the targets write them for file_sd_configs, or answer http_sd_configs"
            ],
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_protocols: [PrometheusProtobuf]",
            [
                "3: scrape_configs[0]: scrape_protocols: unknown scrape protocol PrometheusProtobuf, supported: "
                "PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4 "
                "(did you mean 'PrometheusProto'?)"
            ],
        ),
        (
            "scrape_configs:\n- job_name: a\n  native_histogram_bucket_limit: -1",
            ["3: scrape_configs[0].native_histogram_bucket_limit: expected a whole number, zero or more, got '-1'"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  sample_limit: -1",
            ["3: scrape_configs[0].sample_limit: expected a whole number, zero or more, got '-1'"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  body_size_limit: 10",
            ["3: scrape_configs[0].body_size_limit: expected a size such as 512KB or 10MB, got '10'"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  scheme: htps",
            ["3: scrape_configs[0].scheme: expected one of http, https, got 'htps' (did you mean 'https'?)"],
        ),
        (
            "scrape_configs:\n- job_name: a\n  honor_labels: maybe",
            ["3: scrape_configs[0].honor_labels: expected true or false, got 'maybe'"],
        ),
        (
            "alerting:\n  alertmanagers:\n  - api_version: v1",
            ["3: alerting.alertmanagers[0]: expected Alertmanager api version to be one of [v2] but got v1"],
        ),
        ("global: {scrape_protocols: []}", ["1: global: scrape_protocols: cannot be empty"]),
        (
            "scrape_configs:\n- job_name: a\n  scrape_protocols: []",
            ["3: scrape_configs[0]: scrape_protocols: cannot be empty"],
        ),
        (
            "remote_write:\n- {url: 'http://a/w', sigv4: {}}",
            ["2: remote_write[0]: sigv4 is not supported yet by rulepush (Prometheus knows it)"],
        ),
        (
            "alerting:\n  alertmanagers:\n  - sigv4: {region: x}",
            ["3: alerting.alertmanagers[0]: sigv4 is not supported yet by rulepush (Prometheus knows it)"],
        ),
        ("remote_write:\n- name: a", ["2: remote_write[0]: url for remote_write is empty"]),
        (
            "remote_write:\n- {url: http://a, name: a}\n- {url: http://b, name: a}",
            ['3: remote_write[1]: found multiple remote write configs with job name "a"'],
        ),
        (
            "remote_write:\n- url: http://a\n  name: ../a",
            ["3: remote_write[0]: name: '../a' cannot name a file: leave out \"/\" and control characters"],
        ),
        (
            'pushgateways:\n- {url: http://a, jobs: [a], name: ".."}\n- {url: http://a, jobs: [a], name: "a\\n"}',
            [
                "2: pushgateways[0]: name: '..' cannot name a file: leave out \"/\" and control characters",
                "3: pushgateways[1]: name: 'a\\n' cannot name a file: leave out \"/\" and control characters",
            ],
        ),
        (
            "pushgateways:\n- {url: http://a, jobs: [a]}\n- {url: http://a, jobs: [b]}",
            [
                '3: pushgateways[1]: found multiple pushgateways with name "82795f"; give each entry a name of its own',
            ],
        ),
        (
            "remote_write:\n- url: http://a\n  headers: {X A: b}",
            ["3: remote_write[0]: 'X A' is not a valid header name"],
        ),
        (
            "remote_write:\n- url: http://a b/c",
            ["2: remote_write[0].url: expected a URL that starts with http:// or https://, got 'http://a b/c'"],
        ),
        ("storage: {retention: 0s}", ["1: storage.retention: expected a duration above 0"]),
        ("storage: {record: {retention: 0s}}", ["1: storage.record.retention: expected a duration above 0"]),
        ("storage: {record: {max_size: 1MB}}", ["1: storage.record.max_size: expected 16MB or more"]),
        ("storage: {record: 24h}", ["1: storage.record: expected a mapping, got '24h'"]),
        (
            "storage: {record: {max_sise: 1GB}}",
            ["1: storage.record: unknown key 'max_sise' (did you mean 'max_size'?)"],
        ),
        (
            "pushgateways: [{url: http://a}]",
            ["1: pushgateways[0]: jobs is empty: name the jobs to send on, as regular expressions ('.*' for all)"],
        ),
        ("[1, 2]", ["1: expected a mapping, got a list"]),
        ("a: [1", ["2: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'"]),
        (
            "a: 1\n---\nb: 2",
            ["1: unknown key 'a'"],
        ),
    ],
)
def test_problems_have_their_line_and_say_what_is_wrong(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert [p.replace(str(tmp_path) + "/", "") for p in problems(tmp_path, text)] == expected


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("scrape_configs:\n- job_name: a\n- job_name: b\n  schema: http\nglobal: {}\n")
    text = (
        "global: {evaluation_interval: x}\nscrape_config_files: [more.yml]\n"
        "scrape_configs: [{job_name: a, sceme: http}]\n"
    )
    assert problems(tmp_path, text) == [
        "1: global.evaluation_interval: expected a duration such as 30s or 1h30m, got 'x'",
        "3: scrape_configs[0]: unknown key 'sceme' (did you mean 'scheme'?)",
        'more.yml:2: scrape_configs[0]: found multiple scrape configs with job name "a", '
        f"the first in {tmp_path}/prometheus.yml:3",
        "more.yml:4: scrape_configs[1]: unknown key 'schema' (did you mean 'scheme'?)",
        "more.yml:5: unknown key 'global'",
    ]


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "scrape_configs:\n- &a\n  job_name: a\n  scheme: https\n- <<: *a\n  job_name: b\n"
    c = load(tmp_path, text)
    assert [(s.job_name, s.scheme) for s in c.scrape_configs] == [("a", "https"), ("b", "https")]


def test_external_labels_take_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONE", "east")
    monkeypatch.delenv("NOTHING", raising=False)
    c = load(tmp_path, "global: {external_labels: {a: 'x-${ZONE}-$ZONE', b: '$$5', c: '${NOTHING}'}}")
    assert c.global_.external_labels == Labels.of(a="x-east-east", b="$5")
    assert c.warnings == ("external_labels: the environment variable NOTHING is empty or not set",)


def test_a_recording_that_names_no_bounds_has_the_default_ones(tmp_path: Path) -> None:
    assert load(tmp_path, "storage: {record: {}}").storage.record == RecordConfig(24 * 3_600_000, 512 << 20)
    assert load(tmp_path, "storage: {keep: all}").storage.record is None


def test_retention_without_keep_all_is_warned_of(tmp_path: Path) -> None:
    assert "storage.retention has no effect" in load(tmp_path, "storage: {retention: 5m}").warnings[0]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    from rulepush.config import load_config
    from rulepush.errors import ConfigError

    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_config(str(tmp_path / "none.yml"))


def test_exemplars_that_are_not_sent_are_told(tmp_path: Path) -> None:
    text = "remote_write: [{url: 'http://a/', send_exemplars: %s}]"
    assert load(tmp_path, text % "false").warnings == ()
    assert "remote_write[0]: send_exemplars has no effect" in load(tmp_path, text % "true").warnings[0]


def test_remote_writes_may_share_a_url_when_they_differ(tmp_path: Path) -> None:
    one, other = "{url: 'http://a/', headers: {X: '1'}}", "{url: 'http://a/', headers: {X: '2'}}"
    names = [w.name for w in load(tmp_path, f"remote_write: [{one}, {other}]").remote_write]
    swapped = [w.name for w in load(tmp_path, f"remote_write: [{other}, {one}]").remote_write]
    assert len(set(names)) == 2
    assert swapped == names[::-1], "a name, and what waits under it, stays with its entry"
    alone = load(tmp_path, f"remote_write: [{one}]").remote_write[0].name
    assert alone == load(tmp_path, "remote_write: [{url: 'http://a/'}]").remote_write[0].name
    assert "duplicate remote write configs are not allowed" in problems(tmp_path, f"remote_write: [{one}, {one}]")[0]


@pytest.mark.parametrize(
    ("keys", "escaping"),
    [
        ("fallback_scrape_protocol: ''", "allow-utf-8"),
        ("proxy_url: ''", "allow-utf-8"),
        ("metric_name_escaping_scheme: ''", "allow-utf-8"),
        ("metric_name_validation_scheme: ''", "allow-utf-8"),
        ("metric_name_escaping_scheme: dots", "dots"),
        ("metric_name_validation_scheme: legacy", "underscores"),
        ("metric_name_validation_scheme: legacy, metric_name_escaping_scheme: values", "values"),
    ],
)
def test_empty_and_escaping_settings_as_promtool_takes_them(tmp_path: Path, keys: str, escaping: str) -> None:
    (job,) = load(tmp_path, f"scrape_configs: [{{job_name: a, {keys}}}]").scrape_configs
    assert (job.name_escaping, job.fallback_scrape_protocol, job.http_client.proxy.url.reveal()) == (escaping, "", "")


def test_escaping_is_inherited_and_must_agree_with_the_validation(tmp_path: Path) -> None:
    text = "global: {metric_name_escaping_scheme: dots}\nscrape_configs: [{job_name: a}]"
    assert load(tmp_path, text).scrape_configs[0].name_escaping == "dots"
    keys = "metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8"
    complaint = "utf8 metric names requested but validation scheme is not set to UTF8"
    assert complaint in problems(tmp_path, f"scrape_configs: [{{job_name: a, {keys}}}]")[0]


@pytest.mark.parametrize(
    ("global_", "job", "protocols", "histograms"),
    [
        ("", "", SCRAPE_PROTOCOLS, HistogramScraping()),
        ("", "scrape_native_histograms: true", PROTOBUF_FIRST, HistogramScraping(native=True)),
        ("scrape_native_histograms: true", "", PROTOBUF_FIRST, HistogramScraping(native=True)),
        ("scrape_native_histograms: true", "scrape_native_histograms: false", SCRAPE_PROTOCOLS, HistogramScraping()),
        (
            "scrape_protocols: [PrometheusText0.0.4]",
            "scrape_native_histograms: true",
            ("PrometheusText0.0.4",),
            HistogramScraping(native=True),
        ),
        (
            "always_scrape_classic_histograms: true",
            "native_histogram_min_bucket_factor: 1.5",
            SCRAPE_PROTOCOLS,
            HistogramScraping(classic_too=True, min_bucket_factor=1.5),
        ),
        ("", "scrape_classic_histograms: true", SCRAPE_PROTOCOLS, HistogramScraping(classic_too=True)),
        (
            "convert_classic_histograms_to_nhcb: true",
            "always_scrape_classic_histograms: true",
            SCRAPE_PROTOCOLS,
            HistogramScraping(classic_too=True, to_custom_buckets=True),
        ),
        ("", "fallback_scrape_protocol: PrometheusProto", SCRAPE_PROTOCOLS, HistogramScraping()),
    ],
)
def test_what_is_asked_for_and_made_of_histograms(
    tmp_path: Path, global_: str, job: str, protocols: tuple[str, ...], histograms: HistogramScraping
) -> None:
    """Source: prometheus config/config.go, ScrapeConfig.Validate."""
    text = f"global:\n  {global_}\nscrape_configs:\n- job_name: a\n  {job}\n"
    (config,) = load(tmp_path, text).scrape_configs
    assert (config.scrape_protocols, config.histograms) == (protocols, histograms)
    assert config.fallback_scrape_protocol == ("PrometheusProto" if "fallback" in job else "")
