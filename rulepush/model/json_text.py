"""Decodes the JSON of discoveries as Go does."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str) -> Any:
    """As Go decodes JSON: half a surrogate pair (`\\ud800`) becomes U+FFFD. Python keeps it, and such a text cannot be
    sent or saved. Raises ValueError (json.JSONDecodeError), or RecursionError when it nests too deeply.
    """
    parsed = json.loads(text)
    if "\\u" not in text:
        return parsed
    whole = json.dumps(parsed, ensure_ascii=False)
    return json.loads(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
