"""What a push says besides its body: the path `/metrics/job/<job>{/<label>/<value>}`, with `@base64` forms, and a
header. Texts are Pushgateway's.

Source: prometheus/pushgateway handler/push.go.
"""

from __future__ import annotations

import base64
import re
import string
from typing import Final
from urllib.parse import unquote_to_bytes

from rulepush.errors import PushError
from rulepush.model.labels import JOB, is_legacy_label_name, quote_label_value

GroupKey = tuple[tuple[str, str], ...]
"""The grouping labels, sorted by name. An empty value counts: `a=""` is another group than no `a`."""

SUFFIX: Final = "@base64"
TTL_HEADER: Final = "X-Rulepush-TTL"
"""The lifetime of a group, in Prometheus' notation: rulepush's own addition to the protocol."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "-_")


def parse_push_path(raw_path: str) -> GroupKey:
    """The grouping key that a path names. `raw_path` begins with `/metrics/` and is still percent-encoded.

    Raises PushError: 404 when the path is not one of a push, 400 when a part of it is invalid.
    """
    if (bad := _BAD_ESCAPE.search(raw_path)) is not None:  # Go's server refuses such a request before any handler
        raise PushError(400, f"invalid URL escape {quote_label_value(bad.group())}")
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise PushError(400, "the path is not valid UTF-8 once its percent signs are decoded") from None
    kind, _, rest = path.removeprefix("/metrics/").partition("/")
    job, slash, labels_text = rest.partition("/")
    if kind not in ("job", "job" + SUFFIX) or not job:
        raise PushError(404, "404 page not found")
    if kind != "job":
        try:
            job = decode_base64(job)
        except ValueError as e:
            raise PushError(400, f"invalid base64 encoding in job name {quote_label_value(job)}: {e}") from None
    labels = _split_labels(slash + labels_text)
    if job == "":
        raise PushError(400, "job name is required")
    labels[JOB] = job
    return tuple(sorted(labels.items()))


def decode_base64(text: str) -> str:
    """RFC 4648 for URLs; trailing `=` are ignored. Raises ValueError as Go's decoder puts it, or for bad UTF-8."""
    digits = text.rstrip("=")
    bad = next((i for i, c in enumerate(digits) if c not in _ALPHABET), None)
    if bad is None and len(digits) % 4 == 1:
        bad = len(digits) - 1
    if bad is not None:
        raise ValueError(f"illegal base64 data at input byte {len(digits[:bad].encode())}")
    try:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the decoded value is not valid UTF-8") from None


def encode_push_path(key: GroupKey) -> str:
    """The inverse: a path for these labels, with base64 where a value needs it. Raises KeyError without a job."""
    labels = dict(key)
    parts = ["/metrics", _component("job", labels.pop(JOB))]
    parts += [_component(name, value) for name, value in labels.items()]
    return "/".join(parts)


def _component(name: str, value: str) -> str:
    if value and all(c in _ALPHABET or c in ".:" for c in value) and value.strip("."):
        return f"{name}/{value}"
    encoded = base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
    return f"{name}{SUFFIX}/{encoded or '='}"


def _split_labels(text: str) -> dict[str, str]:
    if len(text) <= 1:
        return {}
    parts = text[1:].split("/")
    if len(parts) % 2:
        raise PushError(400, f"odd number of components in label string {quote_label_value(text)}")
    labels: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        plain = name.removesuffix(SUFFIX)
        if not is_legacy_label_name(plain) or plain.startswith("__"):
            raise PushError(400, f"improper label name {quote_label_value(plain)}")
        if plain == name:
            labels[name] = value
            continue
        try:
            labels[plain] = decode_base64(value)
        except ValueError as e:
            raise PushError(400, f"invalid base64 encoding for label {plain}={quote_label_value(value)}: {e}") from None
    return labels
