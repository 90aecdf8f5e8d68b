"""URLs and hosts as a person types them: without a scheme, with user and password, with mistakes."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

_SCHEME: Final = re.compile(r"https?://")
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f]")  # urlsplit drops some of them silently
_ESCAPES: Final = "; in a user or a password, / is written %2F, # is %23, ? is %3F"


def typed_url(text: str) -> SplitResult:
    """The parts of a server's URL; it is http where no scheme is given. Raises ValueError: its text continues a
    message that says that this is no URL, and repeats nothing of it."""
    whole = text if "://" in text else f"http://{text}"
    authority, *_ = re.split(r"[/?#]", whole.partition("://")[2], maxsplit=1)
    hint = _ESCAPES if "@" in text and "@" not in authority else ""
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        raise ValueError(hint) from None
    # Of http:/shop:8080 or https:shop the host would be the scheme.
    good = parts.scheme in ("http", "https") and parts.hostname not in (None, "http", "https") and port != 0
    # A password with a slash would be taken for a path, and shown; in parameters an @ may be meant.
    is_cut = bool(hint) and not (parts.path and "@" in parts.query and "@" not in parts.path + parts.fragment)
    if not good or is_cut or _UNSEEN.search(text):
        raise ValueError(hint)
    return parts


def without_credentials(text: str) -> str:
    """What a person typed, for a message. All before the last @ is left out, but for the scheme: what is no URL may
    have its password anywhere."""
    head, at, rest = text.rpartition("@")
    scheme = _SCHEME.match(head)
    return f"{scheme.group() if scheme else ''}{rest}" if at else text


def is_loopback_host(name: str) -> bool:
    """Whether a host name or an IP address, without brackets, is one of this machine alone."""
    name = name.rstrip(".")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
