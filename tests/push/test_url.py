"""Push paths: what Pushgateway takes, with its texts; e2e/test_pushgateway_compat.py compares with the real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import PushError
from rulepush.push.url import decode_base64, encode_push_path, parse_push_path


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/metrics/job/j", {"job": "j"}),
        ("/metrics/job/j/", {"job": "j"}),
        ("/metrics/job/j/a/b", {"job": "j", "a": "b"}),
        ("/metrics/job/j/a/", {"job": "j", "a": ""}),
        ("/metrics/job/j/job/other", {"job": "j"}),
        ("/metrics/job@base64/L3Zhci90bXA=", {"job": "/var/tmp"}),
        ("/metrics/job/j/path@base64/L3Zhci90bXA", {"job": "j", "path": "/var/tmp"}),
        ("/metrics/job/j/a@base64/=", {"job": "j", "a": ""}),
        ("/metrics/job/%E4%B8%AD/a/b%20c", {"job": "中", "a": "b c"}),
    ],
)
def test_good_paths(path: str, key: dict[str, str]) -> None:
    assert parse_push_path(path) == tuple(sorted(key.items()))


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/metrics/job/", 404, "404 page not found"),
        ("/metrics/bob/j", 404, "404 page not found"),
        ("/metrics/job@base64/=", 400, "job name is required"),
        ("/metrics/job/j/a", 400, 'odd number of components in label string "/a"'),
        ("/metrics/job/j/__a/b", 400, 'improper label name "__a"'),
        ("/metrics/job/j/a-b/c", 400, 'improper label name "a-b"'),
        (
            "/metrics/job/j/a@base64/YQ=Y",
            400,
            'invalid base64 encoding for label a="YQ=Y": illegal base64 data at input byte 2',
        ),
        (
            "/metrics/job@base64/!!",
            400,
            'invalid base64 encoding in job name "!!": illegal base64 data at input byte 0',
        ),
        ("/metrics/job/j/a/%", 400, 'invalid URL escape "%"'),
        ("/metrics/job/j/a/100%/b/c", 400, 'invalid URL escape "%/b"'),
        ("/metrics/job/%2/a/b", 400, 'invalid URL escape "%2/"'),
        ("/metrics/job/j/a/%zz", 400, 'invalid URL escape "%zz"'),
        ("/metrics/job/%ff", 400, "the path is not valid UTF-8 once its percent signs are decoded"),
        (
            "/metrics/job/j/a@base64/_w",
            400,
            'invalid base64 encoding for label a="_w": the decoded value is not valid UTF-8',
        ),
    ],
)
def test_bad_paths(path: str, status: int, text: str) -> None:
    with pytest.raises(PushError) as caught:
        parse_push_path(path)
    assert (caught.value.status, str(caught.value)) == (status, text)


LABEL_NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(VALUES.filter(bool), st.dictionaries(LABEL_NAMES, VALUES, max_size=4))
def test_every_key_survives_its_path(job: str, labels: dict[str, str]) -> None:
    key = tuple(sorted({**labels, "job": job}.items()))
    assert parse_push_path(encode_push_path(key)) == key


@given(st.text(max_size=40))
def test_fuzzed_paths_raise_nothing_else(text: str) -> None:
    for path in ("/metrics/job/" + text, "/metrics/job@base64/" + text, text):
        try:
            key = parse_push_path(path)
        except PushError:
            continue
        assert dict(key)["job"]


@given(st.text(max_size=20))
def test_fuzzed_base64_raises_nothing_else(text: str) -> None:
    try:
        decode_base64(text)
    except ValueError:
        return
    assert len(text.rstrip("=")) % 4 != 1
