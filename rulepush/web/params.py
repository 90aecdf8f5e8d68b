"""The parameters of an API request, from the URL and from a posted form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from rulepush.errors import BodyError, ParseError
from rulepush.http_request import NO_ENCODING, read_content
from rulepush.model.durations import parse_duration
from rulepush.model.matcher import Matcher
from rulepush.model.timestamps import parse_time
from rulepush.promql import parse_selector
from rulepush.web.answers import ApiError, ErrorType
from rulepush.web.row_search import MAX_SELECTORS

MAX_FORM_BYTES: Final = 1 << 20
_MAX_TIME: Final = (1 << 62) // 1_000_000


class Params:
    """The parameters of one request. Every getter raises ApiError(bad_data) with Prometheus' text."""

    def __init__(self, values: Sequence[tuple[str, str]]):
        self._values = values

    @classmethod
    async def of(cls, request: Request) -> Params:
        """From a GET, or from a POST with a form body; the body's values come before those of the URL, as in Go's
        Request.Form."""
        url = request.query_params.multi_items()
        if request.method != "POST":
            return cls(url)
        try:
            body = await read_content(request, MAX_FORM_BYTES, NO_ENCODING)
            form = parse_qsl(body.decode(), keep_blank_values=True)
        except (BodyError, ValueError) as e:
            raise ApiError(ErrorType.BAD_DATA, f"error parsing form values: {e}") from None
        return cls([*form, *url])

    def text(self, name: str, default: str = "") -> str:
        """The first value, or the default."""
        return next((v for k, v in self._values if k == name), default)

    def texts(self, name: str) -> list[str]:
        """All values."""
        return [v for k, v in self._values if k == name]

    def time(self, name: str) -> int:
        """A time in ms."""
        text = self.text(name)
        try:
            return parse_time(text)
        except ValueError:
            raise _invalid(name, f'cannot parse "{text}" to a valid timestamp') from None

    def optional_time(self, name: str, default: int) -> int:
        """A time in ms; `default` when absent."""
        text = self.text(name)
        if not text:
            return default
        try:
            return parse_time(text)
        except ValueError:
            reason = f"invalid time value for '{name}': cannot parse \"{text}\" to a valid timestamp"
            raise _invalid(name, reason) from None

    def duration(self, name: str, default: int | None = None) -> int:
        """A duration in ms: seconds as a number, or Prometheus' notation."""
        text = self.text(name)
        if not text and default is not None:
            return default
        try:
            ms = float(text) * 1000
            if not abs(ms) < _MAX_TIME:
                raise _invalid(name, f'cannot parse "{text}" to a valid duration. It overflows int64')
            return round(ms)
        except ValueError:
            pass
        try:
            return parse_duration(text)
        except ValueError:
            raise _invalid(name, f'cannot parse "{text}" to a valid duration') from None

    def limit(self, name: str = "limit") -> int | None:
        """A count; None when absent or 0, which is no limit."""
        text = self.text(name)
        if not text:
            return None
        try:
            number = int(text)
        except ValueError:
            raise _invalid(name, f'cannot parse "{text}" to a valid limit') from None
        if number < 0:
            raise _invalid(name, "limit must be non-negative")
        return number or None

    def metadata_limit(self, name: str) -> int | None:
        """A limit of the metadata API: 0 shows nothing; None, no limit, when negative or absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            number = int(text)
        except ValueError:
            raise ApiError(ErrorType.BAD_DATA, f"{name} must be a number") from None
        return None if number < 0 else number

    def flag(self, name: str) -> bool:
        """A boolean as Go's strconv.ParseBool takes it; absent is false."""
        text = self.text(name)
        if text in ("", "0", "f", "F", "false", "FALSE", "False"):
            return False
        if text in ("1", "t", "T", "true", "TRUE", "True"):
            return True
        raise _invalid(name, f'strconv.ParseBool: parsing "{text}": invalid syntax')

    def matchers(self, name: str = "match[]", *, loose: bool = False) -> list[Sequence[Matcher]]:
        """Each value as a series selector; one that is given twice counts once. Where they are `loose`, one may select
        all series."""
        texts = dict.fromkeys(self.texts(name))
        if len(texts) > MAX_SELECTORS:  # before they are parsed
            raise _invalid(name, f"more than {MAX_SELECTORS:,} different selectors")
        try:
            return [parse_selector(text, loose=loose) for text in texts]
        except ParseError as e:
            raise _invalid(name, str(e)) from None


def _invalid(name: str, reason: str) -> ApiError:
    return ApiError(ErrorType.BAD_DATA, f'invalid parameter "{name}": {reason}')
