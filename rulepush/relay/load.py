"""The relay's configuration file: prometheus-webhook-dingtalk's version 2 format, and what rulepush adds to it."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import yaml

from rulepush.errors import ConfigError, Problem
from rulepush.gotext.gotime_parse import parse_go_duration
from rulepush.model.secret import MASK, NO_SECRET, Secret
from rulepush.relay.address import (
    address_faults,
    hides_a_secret,
    owner_fault,
    secret_fault,
    url_fault,
    zone_doubt,
    zone_fault,
)
from rulepush.relay.builtin_templates import builtin_templates
from rulepush.relay.functions import FUNCTIONS
from rulepush.relay.settings import DEFAULT_TEXT, DEFAULT_TITLE, Language, Mention, RobotTarget, RobotType, Settings
from rulepush.relay.template_data import process_zone, zone
from rulepush.template import Template, TemplateSyntaxError
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, line_of, read_yaml

log = logging.getLogger("rulepush.relay")

_DEFAULT_TIMEOUT_MS: Final = 5000
_TYPES: Final = tuple(t.value for t in RobotType)
_LANGUAGES: Final = tuple(language.value for language in Language)
_OUTER: Final = (
    ("__subject", "default.title", "v2.title"),
    ("default.__text_alert_list", "default.content", "v2.content"),
)
"""(inner, outer, frame): when the files define only `inner`, a part of prometheus-webhook-dingtalk's default message,
`outer` becomes version 2's `frame`, which includes it."""
_MAX_TEMPLATE_BYTES: Final = 1 << 20


def load_settings(path: str) -> Settings:
    """Read and check a configuration file and its template files. Raises ConfigError with every Problem found."""
    reading = LoadSession()
    source, root = read_yaml(path, reading)
    settings = _read(source, root)
    if reading.problems:
        problems = [_redacted(p, root) for p in (*reading.problems, *settings.faults)]
        raise ConfigError(sorted(problems, key=lambda p: (p.file != path, p.file, p.line)))
    return settings


def _read(source: SourceFile, root: yaml.Node | None) -> Settings:
    if not isinstance(root, yaml.MappingNode):
        if root is not None or not source.reading.problems:
            source.problem(0 if root is None else line_of(root), "expected a mapping with `targets`")
        return Settings(_DEFAULT_TIMEOUT_MS, {})
    m = MapReader(source, root)
    timeout = _timeout(m)
    if timeout <= 0:
        m.problem("timeout: must be more than 0", "timeout")
    common = _Common(m)
    targets: dict[str, RobotTarget] = {}
    named = m.section("targets")
    if named is None:
        m.problem("no targets: each needs a name and the url of a robot", "targets")
    else:
        for name in named.keys():  # noqa: SIM118
            target = named.section(name) if isinstance(named.value(name), yaml.MappingNode) else None
            if "/" in name:
                named.problem("the name of a target must not contain a /: it is part of a path", name)
            elif target is None:
                named.problem(f"{name}: expected a mapping with `url`", name)
            else:
                targets[name] = common.target(name, target)
    m.finish()
    if targets:
        common.warn_of_unused()
    return Settings(timeout, targets)


class _Common:
    """The settings that all targets share."""

    def __init__(self, m: MapReader):
        self._from_scratch = m.flag("no_builtin_template")
        self._language = m.one_of("lang", _LANGUAGES, Language.EN.value)
        self._zone = _zone(m)
        self._files = _template_files(m)
        self._defined = _definitions(self._files)
        self._used: set[str] = set()
        self._title, self._text = DEFAULT_TITLE, DEFAULT_TEXT
        message = m.section("default_message")
        if message is not None:
            self._title = message.text("title", DEFAULT_TITLE)
            self._text = message.text("text", DEFAULT_TEXT)
            message.finish()
        self._default_message = message
        self._sets: dict[tuple[Language, RobotType], Template] = {}
        self._broken: set[str] = set()

    def target(self, name: str, m: MapReader) -> RobotTarget:
        """Read one target."""
        robot = RobotType(m.one_of("type", _TYPES, RobotType.DINGTALK.value))
        language = Language(m.one_of("lang", _LANGUAGES, self._language))
        url = _robot_url(m)
        secret = m.secret("secret")
        faults = _check_address(m, robot, url, secret)
        mention = _mention(m, robot)
        templates = self._templates(m, language, robot)
        builtin = builtin_templates(language, robot)
        message = m.section("message")
        title, text = self._title, self._text
        if message is not None:
            # What it leaves out is the built-in default, not default_message's, as in prometheus-webhook-dingtalk.
            title, text = message.text("title", DEFAULT_TITLE), message.text("text", DEFAULT_TEXT)
            message.finish()
        written = message or self._default_message
        parsed_title = self._parse(templates, title, written or m, "title")
        parsed_text = self._parse(templates, text, written or m, "text")
        for template in (parsed_title, parsed_text):
            self._used |= template.reachable()
        target = RobotTarget(
            name=name,
            type=robot,
            url=url,
            secret=secret,
            mention=mention,
            keyword=m.text("keyword"),
            language=language,
            time_zone=_zone(m) or self._zone or _default_zone(language),
            title=parsed_title,
            text=parsed_text,
            fallback_title=builtin.with_text(DEFAULT_TITLE, "builtin"),
            fallback_text=builtin.with_text(DEFAULT_TEXT, "builtin"),
            title_line=_first_line(written, "title"),
            text_line=_first_line(written, "text"),
            faults=faults,
        )
        m.finish()
        return target

    def warn_of_unused(self) -> None:
        """Log the templates of the files that no message uses: usually their names are mistaken."""
        for name in sorted(self._defined.keys() - self._used):
            log.warning(
                "%s: template %r is defined and never used: no target's title or text leads to it; the default message "
                'is "ding.link.title" and "ding.link.content"',
                self._defined[name],
                name,
            )

    def _templates(self, m: MapReader, language: Language, robot: RobotType) -> Template:
        key = (language, robot)
        if key not in self._sets:
            if self._from_scratch:
                templates = Template.parse("", FUNCTIONS, "builtin")
            else:
                templates = builtin_templates(language, robot)
            for path, text in self._files.items():
                try:
                    templates = templates.with_text(text, path)
                except TemplateSyntaxError as e:
                    if path not in self._broken:
                        self._broken.add(path)
                        SourceFile(path, "", m.source.reading).problem(e.line, e.message)
            if not self._from_scratch:
                for inner, outer, frame in _OUTER:
                    if inner in self._defined and outer not in self._defined:
                        templates = templates.with_text(
                            f'{{{{ define "{outer}" }}}}{{{{ template "{frame}" . }}}}{{{{ end }}}}', outer
                        )
            self._sets[key] = templates
        return self._sets[key]

    def _parse(self, templates: Template, text: str, m: MapReader, key: str) -> Template:
        """A title or text, to be executed under the name "message"."""
        try:
            return templates.named("message").with_text(text, "message")
        except TemplateSyntaxError as e:
            m.problem(f"{key}: in its line {e.line}: {e.message}", key)
            return templates


def _first_line(m: MapReader | None, key: str) -> int:
    """The line on which the value under a key begins: of a block (`|`), the one below its mark. 0 when absent."""
    node = None if m is None else m.value(key)
    if not isinstance(node, yaml.ScalarNode):
        return 0
    return line_of(node) + (node.style in ("|", ">"))


def _zone(m: MapReader) -> str:
    name = m.text("time_zone")
    if name:
        try:
            zone(name)
        except ValueError:
            m.problem(f"time_zone: {zone_fault(name)}", "time_zone")
            return ""
        if doubt := zone_doubt(name):
            log.warning("%s:%d: time_zone: %s", m.source.name, m.line_at("time_zone"), doubt)
    return name


def _timeout(m: MapReader) -> int:
    """Milliseconds. Go's durations, `1.5s`, besides Prometheus'."""
    try:
        return int(parse_go_duration(m.text("timeout"))) // 1_000_000
    except ValueError:
        return m.duration("timeout", _DEFAULT_TIMEOUT_MS)


def _default_zone(language: Language) -> str:
    """Without `time_zone`: TZ as Go takes it, else China's for Chinese, else the machine's."""
    if language is Language.ZH and "TZ" not in os.environ:
        return "Asia/Shanghai"
    return process_zone()


def _definitions(files: Mapping[str, str]) -> dict[str, str]:
    """The templates that the files define, and where."""
    found: dict[str, str] = {}
    for path, text in files.items():
        try:
            template = Template.parse(text, FUNCTIONS, path)
        except TemplateSyntaxError:
            continue  # reported where it is parsed for a target
        found.update({name: path for name, tree in template.trees.items() if name != path and not tree.is_empty()})
    return found


def _template_files(m: MapReader) -> Mapping[str, str]:
    files: dict[str, str] = {}
    single = [m.text("template")] if m.text("template") else []
    for pattern in map(m.source.resolve, (*m.texts("templates"), *single)):
        if "\0" in pattern:
            m.problem(f"templates: {pattern!r} is not a path", "templates")
            continue
        paths = sorted(glob.glob(pattern))
        if not paths and not glob.has_magic(pattern):
            m.problem(f"templates: {pattern} does not exist", "templates")
        for path in paths:
            try:
                with open(path, "rb") as f:
                    files[path] = f.read(_MAX_TEMPLATE_BYTES).decode("utf-8")
            except (OSError, UnicodeDecodeError) as e:
                SourceFile(path, "", m.source.reading).problem(0, f"cannot be read: {e}")
    return files


def _mention(m: MapReader, robot: RobotType) -> Mention:
    section = m.section("mention")
    if section is None:
        return Mention()
    mention = Mention(section.flag("all"), section.texts("mobiles"), section.texts("user_ids"))
    if robot is RobotType.FEISHU and mention.mobiles:
        section.problem("mobiles: Feishu robots mention by user_ids (open_id) only", "mobiles")
    section.finish()
    return mention


def _robot_url(m: MapReader) -> Secret:
    """Not by `MapReader.url`, which shows what it refuses: a token stands in this one."""
    if not m.has("url"):
        m.problem("needs a url: the webhook address of the robot")
        return NO_SECRET
    node = m.value("url")
    if not isinstance(node, yaml.ScalarNode):
        m.wrong("url", "expected a URL")
        return NO_SECRET
    m.source.mask(node)
    fault = url_fault(node.value)
    if fault:
        m.wrong("url", fault)
        return NO_SECRET
    return Secret(node.value)


def _check_address(m: MapReader, robot: RobotType, url: Secret, secret: Secret) -> tuple[Problem, ...]:
    """Mistakes in the address that can be found without a request to the robot. Returns those that are no reason to
    refuse the file, because other targets work."""
    if robot is RobotType.WECOM and secret:
        m.problem("secret: robots of WeCom have none", "secret")
    if not url:
        return ()
    parts = urlsplit(url.reveal())
    if parts.hostname == "oapi.dingtalk.com" and robot is RobotType.DINGTALK and "access_token" not in parts.query:
        m.problem("url: has no access_token", "url")
        return ()
    stranger = owner_fault(robot, url.reveal())
    if stranger:
        m.problem(f"url: {stranger}", "url")
        return ()
    found = [("url", fault) for fault in address_faults(robot, url.reveal())]
    if secret and robot is not RobotType.WECOM and (fault := secret_fault(robot, url.reveal(), secret.reveal())):
        found.append(("secret", fault))
    return tuple(Problem(m.source.name, m.line_at(key), f"{m.where}.{key}: {fault}") for key, fault in found)


def _redacted(problem: Problem, root: yaml.Node | None) -> Problem:
    """The problem without any text of the file that may be secret: one in a wrong place is shown by some messages."""
    message = problem.message
    for text in sorted(_texts(root), key=len, reverse=True):
        message = message.replace(text, MASK)
    return replace(problem, message=message)


def _texts(node: yaml.Node | None) -> Iterator[str]:
    """Every value of the file that may be secret, and every key with such a value in it (`url:https://...`)."""
    if isinstance(node, yaml.ScalarNode):
        if hides_a_secret(node.value):
            yield node.value
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _texts(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name, colon, rest = key.value.partition(":") if isinstance(key, yaml.ScalarNode) else ("", "", "")
            if colon and hides_a_secret(rest):
                yield f"{name}:{rest}"
            yield from _texts(value)
