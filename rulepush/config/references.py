"""Checking what a configuration refers to: the files it names exist and can be used. Reads files, no network."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rulepush.config.load import expand_globs
from rulepush.config.sections import Config
from rulepush.discovery.file import read_group_file
from rulepush.errors import DiscoveryError, Problem
from rulepush.http_client.config import HTTPClientConfig, TLSConfig
from rulepush.http_client.failures import CredentialsError
from rulepush.http_client.tls import client_context
from rulepush.yaml.nodes import Reference, ReferenceKind


def check_references(config: Config) -> tuple[list[Problem], list[Problem]]:
    """(problems, warnings) of the files that the configuration names; rule files are only checked for existence."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for reference in config.references:
        if reference.refers is ReferenceKind.TARGETS:
            _check_targets(reference, problems, warnings)
        elif reference.refers is ReferenceKind.CREDENTIALS:
            fault = _unreadable(reference.path)
            if fault:
                problems.append(_problem(reference, fault))
        elif not expand_globs((reference.path,)):
            text = f"{reference.path!r} does not point to an existing file"
            (warnings if "*" in reference.path else problems).append(_problem(reference, text))
    for tls in dict.fromkeys(t for client in _clients(config) for t in (client.tls, *_oauth2_tls(client))):
        problem = _check_tls(tls, config)
        if problem:
            problems.append(problem)
    return problems, warnings


def _problem(reference: Reference, text: str) -> Problem:
    return Problem(reference.file, reference.line, f"{reference.key}: {text}")


def _unreadable(path: str) -> str:
    try:
        with open(path, "rb") as f:
            f.read(1)
    except OSError as e:
        return f"{path!r} cannot be read: {e.strerror or e}"
    return ""


def _check_targets(reference: Reference, problems: list[Problem], warnings: list[Problem]) -> None:
    paths = expand_globs((reference.path,))
    if not paths:
        warnings.append(_problem(reference, f"{reference.path!r} does not exist yet"))
    for path in paths:
        try:
            read_group_file(path)
        except DiscoveryError as e:
            problems.append(_problem(reference, f"{path}: {e}"))


def _clients(config: Config) -> Iterable[HTTPClientConfig]:
    yield from (c.http_client for c in config.scrape_configs)
    yield from (c.http_client for c in config.alerting.alertmanagers)
    yield from (c.http_client for c in config.remote_write)
    yield from (c.http_client for c in config.pushgateways)
    yield from (c.http_client for c in config.heartbeats)
    for sds in (*(c.sd_configs for c in config.scrape_configs), *(c.sd_configs for c in config.alerting.alertmanagers)):
        for sd in sds:
            client = getattr(sd, "http_client", None)
            if isinstance(client, HTTPClientConfig):
                yield client


def _oauth2_tls(client: HTTPClientConfig) -> tuple[TLSConfig, ...]:
    return (client.oauth2.tls,) if client.oauth2 else ()


def _files_of(tls: TLSConfig) -> list[str]:
    return [f for f in (tls.ca_file, tls.cert_file, tls.key_file) if f]


def _check_tls(tls: TLSConfig, config: Config) -> Problem | None:
    files = _files_of(tls)
    if not (files or tls.ca or tls.cert) or not all(os.access(f, os.R_OK) for f in files):
        return None  # nothing to check, or a missing file that is reported already
    try:
        client_context(tls)
    except CredentialsError as e:
        named = [r for r in config.references if r.path in files and r.path in str(e)]
        return _problem(named[0], str(e)) if named else Problem(config.path, 0, str(e))
    return None
