"""The walker of guides: what it runs, writes and expects, and every way in which a page cannot be followed."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.walk import Walk, WalkError, guide_blocks, same_output
from tests.servers import free_port


def _page(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    page = directory / "guide.md"
    page.write_text(textwrap.dedent(text).replace("'''", "```"), encoding="utf-8")
    return page


def _walked(
    directory: Path,
    text: str,
    *,
    replace: Mapping[str, str] | None = None,
    instead: Mapping[str, str] | None = None,
    excused: Mapping[str, str] | None = None,
    patience_s: float = 10,
) -> Walk:
    with Walk(
        _page(directory, text), directory / "d", replace or {}, instead or {}, excused or {}, patience_s=patience_s
    ) as walk:
        walk.rest()
    return walk


def test_commands_keep_directory_and_variables_from_block_to_block(tmp_path: Path) -> None:
    walk = _walked(
        tmp_path,
        """
        '''sh
        mkdir here && cd here
        export WORD=said
        # a remark
        '''

        and then

        '''sh
        echo "$WORD" in \\
          $(basename "$PWD")
        '''
        '''text
        said in here
        '''
        """,
    )
    assert walk.cwd == tmp_path / "d" / "walk" / "here"


def test_rulepush_is_the_one_of_this_python(tmp_path: Path) -> None:
    _walked(tmp_path, "'''sh\nrulepush --version\n'''\n'''text\nrulepush, version ...\n'''\n")


def test_a_failing_command_names_the_line_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(WalkError, match=r"guide\.md:3: exit code 1, not 0(.|\n)*false"):
        _walked(tmp_path, "\n\n'''sh\nfalse\ntrue\n'''\n")


def test_an_exit_code_that_the_page_names_is_expected(tmp_path: Path) -> None:
    _walked(tmp_path, "'''sh exit=3\nexit 3\n'''\n")
    with pytest.raises(WalkError, match="exit code 0, not 3"):
        _walked(tmp_path / "again", "'''sh exit=3\ntrue\n'''\n")


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n", "b\na\n", False),
        ("...\na\n", "b\nc\na\n", True),
        ("a\n...\n", "a\n", True),
        ("a ... c\n", "a 12 c\n", True),
        ("a ... c\n", "a 1\n2 c\n", False),
        ("took ...s (1.5)\n", "took 3s (1x5)\n", False),
    ],
)
def test_output_is_compared_line_by_line(expected: str, output: str, same: bool) -> None:
    assert same_output(expected, output) is same


def test_a_different_output_is_shown_beside_the_expected_one(tmp_path: Path) -> None:
    with pytest.raises(
        WalkError, match=r"guide\.md:4: the output is another one\n--- expected:\ntwo\n--- output:\none"
    ):
        _walked(tmp_path, "'''sh\necho one\n'''\n'''text\ntwo\n'''\n")


def test_an_expected_output_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WalkError, match="says nothing"):
        _walked(tmp_path, "'''sh\necho one\n'''\n'''text\n...\n'''\n")


def test_a_block_with_a_name_is_written_there(tmp_path: Path) -> None:
    walk = _walked(
        tmp_path,
        """
        '''yaml
        # conf/a.yml
        url: http://127.0.0.1:9093
        '''
        '''yaml
        # conf/a.yml（加在末尾）
        more: true
        '''
        '''sh
        #!/bin/sh
        # run.sh
        echo ran
        '''
        '''sh
        sh run.sh
        '''
        '''text
        ran
        '''
        """,
        replace={"127.0.0.1:9093": "127.0.0.1:1"},
    )
    assert (walk.cwd / "conf" / "a.yml").read_text().splitlines()[1::2] == ["url: http://127.0.0.1:1", "more: true"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("../../../x.yml", "outside of the walk"), ("/etc/x.yml", "outside"), ("a.yml (at the end)", "does not exist")],
)
def test_a_file_that_cannot_be_written_there_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(WalkError, match=message):
        _walked(tmp_path, f"'''yaml\n# {name}\na: 1\n'''\n")


def test_a_block_that_is_neither_run_nor_excused_fails(tmp_path: Path) -> None:
    page = "'''yaml\nlost: true\n'''\n"
    with pytest.raises(WalkError, match="neither run nor written nor excused"):
        _walked(tmp_path, page)
    _walked(tmp_path / "excused", page, excused={"lost:": "shown only"})


def test_blocks_that_the_test_forgot_fail(tmp_path: Path) -> None:
    page = _page(tmp_path, "'''sh\ntrue\n'''\n## 2.\n'''sh\ntrue\n'''\n")
    walk = Walk(page, tmp_path / "d")
    with pytest.raises(WalkError, match=r"guide\.md:5: this block and those after it were not walked"), walk:
        walk.until("## 2.")


@pytest.mark.parametrize("what", ["replace", "instead", "excused"])
def test_what_nothing_on_the_page_needs_fails(tmp_path: Path, what: str) -> None:
    keys = {name: {"9099": "x"} if name == what else {} for name in ("replace", "instead", "excused")}
    with pytest.raises(WalkError, match=f"{what}: nothing on the page needs '9099'"):
        _walked(
            tmp_path,
            "'''sh\ntrue\n'''\n",
            replace=keys["replace"],
            instead=keys["instead"],
            excused=keys["excused"],
        )


def test_a_command_is_run_in_the_place_of_one_that_a_test_cannot_run(tmp_path: Path) -> None:
    text = "'''sh\napt-get install curl\n'''\n'''text\ninstalled on 5\n'''\n"
    _walked(tmp_path, text, instead={"apt-get": "echo installed on PORT"}, replace={"PORT": "5"})


SERVER = "python3 -m http.server --bind 127.0.0.1 8000"


def test_a_command_stays_running_until_the_end(tmp_path: Path) -> None:
    port = str(free_port())
    text = f"Leave it running:\n'''sh running\nmkdir in; cd in\n{SERVER}\n'''\n\n'''sh\ncurl -sfo a http://127.0.0.1:8000/\n'''\n"
    with Walk(_page(tmp_path, text), tmp_path / "d", replace={"8000": port}) as walk:
        walk.rest()
        assert walk.run(f"curl -s http://127.0.0.1:{port}/").startswith("<!DOCTYPE")
        assert walk.cwd.name == "in"
    with Walk(_page(tmp_path, "'''sh exit=7\ncurl -s http://127.0.0.1:8000\n'''"), tmp_path / "e", {"8000": port}) as w:
        w.rest()


def test_the_output_of_what_runs_is_awaited(tmp_path: Path) -> None:
    text = f"In a terminal:\n'''sh running\nsh -c 'echo one; sleep 0.3; echo two; exec {SERVER} >/dev/null 2>&1'\n'''\n"
    text += "'''text\n...\ntwo\n'''\n"
    with Walk(_page(tmp_path, text), tmp_path / "d", replace={"8000": str(free_port())}) as walk:
        walk.rest()
        assert walk.stop("http.server") == "one\ntwo\n"


def test_what_ends_by_itself_instead_of_running_fails(tmp_path: Path) -> None:
    with pytest.raises(WalkError, match=r"guide\.md:2: ended with 4"):
        _walked(tmp_path, "Leave it running:\n'''sh running\nexit 4\n'''\n")


@pytest.mark.parametrize("word", ["running", "repeat"])
def test_the_prose_has_to_say_what_only_the_walk_can_read(tmp_path: Path, word: str) -> None:
    with pytest.raises(WalkError, match=f"the prose does not say that it is {word}"):
        _walked(tmp_path, f"Then:\n'''sh {word}\ntrue\n'''\n")


def test_a_line_in_the_background_is_ended_with_the_walk(tmp_path: Path) -> None:
    text = "'''sh\nsleep 987 & echo $!\n'''\n"
    with Walk(_page(tmp_path, text), tmp_path / "d") as walk:
        walk.rest()
        state = Path(f"/proc/{walk.output.strip()}/stat")
        assert state.exists()
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline


def test_a_command_is_repeated_until_its_output_comes(tmp_path: Path) -> None:
    walk = _walked(
        tmp_path,
        """
        Within a minute it says so:

        '''sh repeat
        echo x >> count; test $(wc -l < count) != 2; wc -l < count
        '''
        '''text
        3
        '''
        """,
    )
    assert (walk.cwd / "count").read_text() == "x\nx\nx\n"


def test_a_repetition_is_bounded(tmp_path: Path) -> None:
    page = "Repeat it:\n'''sh repeat\necho one\n'''\n'''text\ntwo\n'''\n"
    with pytest.raises(WalkError, match=r"not within 0\.1s\n--- expected:\ntwo\n--- output:\none"):
        _walked(tmp_path, page, patience_s=0.1)


def test_a_word_after_the_language_has_to_mean_something(tmp_path: Path) -> None:
    with pytest.raises(WalkError, match="'runing' after the language means nothing"):
        _walked(tmp_path, "'''sh runing\ntrue\n'''\n")


def test_a_block_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        guide_blocks("a\n```sh\ntrue\n")


def test_a_block_in_a_list_is_found() -> None:
    (block,) = guide_blocks("1. a\n   ```sh exit=1\n   true\n     x\n   ```\n")
    assert (block.line, block.language, block.words, block.text) == (2, "sh", ("exit=1",), "true\n  x\n")
