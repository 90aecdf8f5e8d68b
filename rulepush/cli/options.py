"""How commands declare themselves, and the options that several of them have: each is declared here, once.

What only some options need is imported where they are declared: `rulepush health` has to start fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rulepush.model.durations import format_duration, parse_duration
from rulepush.model.feature_flags import TYPE_AND_UNIT_FEATURE, ZERO_AT_START_FEATURE

if TYPE_CHECKING:
    from pathlib import Path

Subparsers = argparse._SubParsersAction
OptionContainer = argparse._ActionsContainer
"""A parser, or a group of its options."""

RULE_LINTS: Final = ("all", "duplicate-rules", "none")
DEFAULT_LINT: Final = "duplicate-rules"
LINT_EXIT: Final = 3  # promtool: valid, but a lint check found something
DELAYED_NAME_REMOVAL: Final = "promql-delayed-name-removal"
FEATURES: Final = frozenset({DELAYED_NAME_REMOVAL, TYPE_AND_UNIT_FEATURE, ZERO_AT_START_FEATURE})
AUTO_RELOAD_FEATURE: Final = "auto-reload-config"  # of Prometheus 3, until --config.auto-reload
AUTO_RELOAD_MS: Final = 30_000  # Prometheus' default, once it is on


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and the hyphens of names, and shows the default of every option that takes
    a value and has one."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        import textwrap

        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if text and action.option_strings and action.nargs != 0 and action.default not in (None, "", [], ()):
            text += " (default: %(default)s)"
        return text


def add_command(
    subparsers: Subparsers[argparse.ArgumentParser],
    name: str,
    description: str,
    exit_codes: Mapping[int, str] | None = None,
    examples: Sequence[str] = (),
    usage: str | None = None,
    summary: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of a command. Its help ends with the exit codes, where they matter, and with examples.

    `usage` takes the place of the generated line where that would list too many options. `summary` is for the list of
    commands that this one is in; `__main__` has those of the commands proper, whose modules it does not import.
    """
    sections = []
    if exit_codes:
        codes = {**exit_codes, 2: "The command line is invalid."}
        sections.append("\n".join(["exit codes:", *(f"  {code}  {codes[code]}" for code in sorted(codes))]))
    if examples:
        sections.append("\n".join(["examples:", *(f"  $ {line}" for line in examples)]))
    return subparsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog="\n\n".join(sections) or None,
        usage=usage,
        formatter_class=HelpFormatter,
    )


def add_config_file(p: OptionContainer, text: str, default: str | None = None) -> None:
    """`--config.file`."""
    p.add_argument("--config.file", dest="config_file", default=default, metavar="FILE", help=text)


def add_auto_reload(p: OptionContainer, files: str) -> None:
    """`--config.auto-reload-interval`, and Prometheus' two ways to switch it on; `auto_reload_ms` reads them."""
    p.add_argument(
        "--config.auto-reload-interval",
        dest="auto_reload_interval",
        type=duration_ms,
        default="0",
        metavar="DURATION",
        help=f"How often to look for changes of {files}, and reload when there are any. 0: never. At least 1s.",
    )
    text = f"Reload when files change, as with --config.auto-reload-interval={format_duration(AUTO_RELOAD_MS)}."
    add_switch(p, "--config.auto-reload", "auto_reload", text)


def auto_reload_ms(args: argparse.Namespace, features: frozenset[str] = frozenset()) -> int:
    """How often to look for changes of the configuration; 0: never."""
    is_on = args.auto_reload or AUTO_RELOAD_FEATURE in features
    interval: int = args.auto_reload_interval or (AUTO_RELOAD_MS if is_on else 0)
    return max(interval, 1000) if interval else 0


def add_storage_path(p: OptionContainer, kept: str) -> None:
    """`--storage.path`; `kept` names what is kept there."""
    text = f"Directory for {kept}, which then survive a restart. Without it they are held in memory only."
    p.add_argument("--storage.path", dest="storage_path", type=directory_path, metavar="DIR", help=text)
    text = (
        "Start although --storage.path cannot be written, and save nothing until it can. Without it that is an error."
    )
    add_switch(p, "--storage.optional", "storage_optional", text)


def add_web_options(p: OptionContainer, listen_address: str) -> None:
    """The options of every command that serves HTTP: address, TLS and passwords, reload and quit."""
    p.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default=listen_address,
        metavar="HOST:PORT",
        help="Address to listen on. Without a host, all addresses.",
    )
    p.add_argument(
        "--web.config.file",
        dest="web_config_file",
        default="",
        metavar="FILE",
        help="File that enables TLS or authentication, in the format of Prometheus' exporter toolkit.",
    )
    add_switch(
        p,
        "--web.enable-lifecycle",
        "enable_lifecycle",
        "Enable reload and shutdown via HTTP: POST /-/reload and /-/quit.",
    )


def add_switch(p: OptionContainer, flag: str, dest: str, text: str) -> None:
    """A flag without a value. `--no-` before its name turns it off, as in Prometheus; that form is not in the help."""
    p.add_argument(flag, dest=dest, action="store_true", help=text)
    p.add_argument(f"--no-{flag.removeprefix('--')}", dest=dest, action="store_false", help=argparse.SUPPRESS)


def add_log_level(p: OptionContainer, default: str = "info") -> None:
    """`--log.level`."""
    from rulepush.logs import LEVELS

    p.add_argument(
        "--log.level",
        dest="log_level",
        choices=list(LEVELS),
        default=default,
        help="Log only messages of this severity or above.",
    )


def add_log_options(p: OptionContainer) -> None:
    """`--log.level` and `--log.format`."""
    add_log_level(p)
    p.add_argument(
        "--log.format",
        dest="log_format",
        choices=["logfmt", "json"],
        default="logfmt",
        help="Format of log messages.",
    )


def add_enable_feature(p: OptionContainer) -> None:
    """`--enable-feature`; `feature_names` reads it."""
    p.add_argument(
        "--enable-feature",
        dest="features",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help=f"Feature to enable; can be repeated. Valid options: {', '.join(sorted(FEATURES))}.",
    )


def feature_names(values: Sequence[str]) -> frozenset[str]:
    """The names that `--enable-feature` was given, known or not."""
    return frozenset(name for value in values for name in value.split(",") if name)


def add_ignore_unknown_fields(p: OptionContainer) -> None:
    """`--ignore-unknown-fields`."""
    p.add_argument(
        "--ignore-unknown-fields",
        action="store_true",
        help="Ignore keys in the files that Prometheus does not know.",
    )


def add_lint_fatal(p: OptionContainer, text: str = "") -> None:
    """`--lint-fatal`."""
    text = text or f"Exit with code {LINT_EXIT} when a lint check finds something."
    p.add_argument("--lint-fatal", action="store_true", help=text)


def add_timeout(p: OptionContainer, text: str, default: float = 10.0) -> None:
    """`--timeout`, in seconds."""
    p.add_argument("--timeout", type=positive_seconds, default=default, metavar="SECONDS", help=text)


def add_client_options(p: OptionContainer) -> None:
    """`--header` and `--ca-file`: how a command reaches a server beside the user and password in its URL; `headers_of`
    reads the former."""
    p.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME: VALUE",
        help="Additional HTTP header; can be repeated.",
    )
    p.add_argument(
        "--ca-file", metavar="FILE", help="Certificates of the authorities to trust for an https URL, in PEM format."
    )


def headers_of(values: Sequence[str]) -> dict[str, str]:
    """The headers that `--header` was given. Raises ValueError."""
    if not values:
        return {}
    from rulepush.http_client.config import header_fault

    headers = {}
    for header in values:
        name, colon, value = header.partition(":")
        if not colon or header_fault(name.strip(), value):
            raise ValueError(f"--header: expected NAME: VALUE on one line, the name was {name!r}")
        headers[name.strip()] = value.strip()
    return headers


def directory_path(text: str) -> Path:
    """The type of an option that is a directory. An empty one, mostly from a variable that is not set, would be the
    working directory."""
    from pathlib import Path

    if not text.strip():
        raise argparse.ArgumentTypeError(
            "expected a directory, got an empty value (a variable that is not set?); the working directory is ."
        )
    return Path(text)


def duration_ms(text: str) -> int:
    """The type of an option that is a duration, in Prometheus' notation."""
    try:
        return parse_duration(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def regex(text: str) -> str:
    """The type of an option that is a regular expression."""
    from rulepush.model.errors import RegexError
    from rulepush.model.regex import compile_regex  # a probe (`rulepush health`) should not load RE2

    try:
        compile_regex(text, captures=False)
    except RegexError as e:
        raise argparse.ArgumentTypeError(str(e)) from None
    return text


def positive_duration_ms(text: str) -> int:
    """The type of an option that is a duration above 0, in Prometheus' notation."""
    duration = duration_ms(text)
    if duration == 0:
        raise argparse.ArgumentTypeError("has to be above 0")
    return duration


def positive_int(text: str) -> int:
    """The type of an option that is a whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def positive_seconds(text: str) -> float:
    """The type of an option that is a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return number
