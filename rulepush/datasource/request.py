"""One query to an engine, and what it means that no answer comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.answer import WHERE, RetryableError
from rulepush.errors import DatasourceError
from rulepush.http_client.exchange import HTTPExchange, exchange

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}


def params_of(config: DatasourceConfig) -> Mapping[str, str]:
    """What goes along with every query. VictoriaMetrics moves the time of a query into the past, by its
    -search.latencyOffset, and leaves the newest points out of a range, unless told not to."""
    return {"nocache": "1", **dict(config.params)}


async def post_query(
    client: AnyClient, url: str, content: bytes, seconds: float, max_bytes: int, owner: object = None
) -> HTTPExchange:
    """The answer, of any status, within `seconds`; one of `max_bytes` is cut there. `owner` as in `exchange`. Raises
    DatasourceError: a RetryableError where asking again may help."""
    try:
        return await exchange(
            client, "POST", url, content, _HEADERS, seconds, idempotent=True, max_bytes=max_bytes, owner=owner
        )
    except TimeoutError:
        raise RetryableError(f"no answer within {seconds:g}s") from None
    except Exception as e:
        import httpx

        if not isinstance(e, httpx.HTTPError):
            raise
        from rulepush.http_client.client import reason

        if isinstance(e, httpx.RemoteProtocolError) and str(e).startswith("redirected"):
            raise DatasourceError(f"{reason(e).partition(',')[0]}: a login page, perhaps; {WHERE}") from None
        raise RetryableError(f"not reached: {reason(e)}") from None
