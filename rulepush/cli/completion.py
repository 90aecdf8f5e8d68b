"""`rulepush completion`: the script that lets a shell complete commands, flags, choices and files.

shtab writes it from the parsers of all commands, once: completing runs no rulepush. What it does not do is added here:
`--flag=value` in one word, as Prometheus' users write it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from rulepush.cli.options import Subparsers, add_command

SHELLS: Final = ("bash", "zsh", "fish")

# Readline breaks words at `=`: bash gives `--flag`, `=` and `value`, which is `--flag value` without the `=`.
_BASH: Final = """
_rulepush() {
  local words=() cword=$COMP_CWORD i
  for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
    if [[ ${COMP_WORDS[i]} == = && ${words[${#words[@]} - 1]} == --* ]]; then
      if ((i == COMP_CWORD)); then words+=(""); else ((i < COMP_CWORD)) && ((cword--)); fi
    else
      words+=("${COMP_WORDS[i]}")
    fi
  done
  COMP_WORDS=("${words[@]}")
  COMP_CWORD=$cword
  _shtab_rulepush
}

complete -o bashdefault -F _rulepush rulepush
"""
# A flag with a value, in a specification of zsh's _arguments: `--flag=` allows both ways of writing it.
_ZSH_FLAG: Final = re.compile(r'^(\s*(?:\(.*?\))?(?:"\*?)?\{?(?:-\w,)?"?)(--[\w.-]+)(\}?"?\[.*\]:)', re.MULTILINE)


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """One shell."""
    p = add_command(
        subparsers,
        "completion",
        "Print the script with which a shell completes commands, flags and files.",
        examples=[
            "source <(rulepush completion bash)",
            "rulepush completion bash > ~/.local/share/bash-completion/completions/rulepush",
            "rulepush completion zsh > ~/.zfunc/_rulepush  # a directory of $fpath, before compinit",
            "rulepush completion fish > ~/.config/fish/completions/rulepush.fish",
        ],
    )
    p.add_argument("shell", choices=SHELLS, help="The shell that reads the script.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Always 0. `parser_of_all` gives the parser of the whole command line, which stands above this package."""
    print(completion_script(args.parser_of_all(), args.shell))
    return 0


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of SHELLS. What is completed with files is told by metavars: FILE and DIR. Changes the
    parser."""
    import shtab

    completed = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
    for one in _parsers(parser):
        for action in one._actions:
            if action.metavar in completed:
                action.complete = completed[action.metavar]  # type: ignore[attr-defined]
            elif isinstance(action.metavar, str):
                action.metavar = action.metavar.replace(":", r"\:")  # which zsh would take for the end of it
    script: str = shtab.complete(parser, shell)
    if shell == "bash":
        return script.rstrip() + "\n" + _BASH
    return _ZSH_FLAG.sub(r"\1\2=\3", script) if shell == "zsh" else script


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _parsers(one)
