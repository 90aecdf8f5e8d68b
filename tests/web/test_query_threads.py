"""Threads for queries: bounded in number, reused, and never in the way of the process' end."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from rulepush.web.query_threads import QueryThreads


def test_results_and_errors_come_back() -> None:
    threads = QueryThreads(2)
    assert threads.submit(lambda: 42).result(60) == 42
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(60)
    threads.close()


def test_no_more_threads_than_allowed_and_each_is_used_again() -> None:
    threads, go = QueryThreads(2), threading.Event()

    def name() -> str:
        go.wait(60)
        return threading.current_thread().name

    futures = [threads.submit(name) for _ in range(6)]
    go.set()
    assert {future.result(60) for future in futures} <= {"query-1", "query-2"}
    threads.close()


def test_closing_gives_up_what_has_not_begun() -> None:
    threads, begun, go = QueryThreads(1), threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        go.wait(60)
        return "done"

    running, waiting = threads.submit(first), threads.submit(lambda: "never")
    assert begun.wait(60)
    threads.close()
    late = threads.submit(lambda: "too late")
    go.set()
    assert running.result(60) == "done"
    for future in (waiting, late):
        with pytest.raises(CancelledError):
            future.result(60)


def test_a_thread_that_computes_does_not_keep_the_process_alive() -> None:
    program = """
import threading
from rulepush.web.query_threads import QueryThreads
begun = threading.Event()
def forever():
    begun.set()
    while True:
        sum(range(100_000))
QueryThreads(1).submit(forever)
begun.wait()
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
