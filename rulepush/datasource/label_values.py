"""The values of a label on an engine, for suggestions. Source: prometheus web/api/v1/api.go, `labelValues`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx

from rulepush.config.sections import DatasourceConfig
from rulepush.errors import DatasourceError
from rulepush.http_client.client import reason
from rulepush.http_client.exchange import exchange

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

_MAX_BYTES: Final = 32 << 20


async def label_values(
    client: AnyClient, config: DatasourceConfig, label: str, selector: str, seconds: float
) -> list[str]:
    """The values that `label` has in the series of `selector`, "" for all series, as far back as the engine looks by
    default. Raises DatasourceError."""
    asked = [*config.params, *([("match[]", selector)] if selector else [])]
    url = f"{config.url.reveal()}/api/v1/label/{label}/values?{urlencode(asked)}"
    try:
        got = await exchange(client, "GET", url, b"", {}, seconds, idempotent=True, max_bytes=_MAX_BYTES)
    except TimeoutError:
        raise DatasourceError(f"no answer within {seconds:g}s") from None
    except httpx.HTTPError as e:
        raise DatasourceError(f"not reached: {reason(e)}") from None
    try:
        return [str(value) for value in json.loads(got.text)["data"] or ()]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DatasourceError(f"no list of the values of {label}: {got.described()}") from None
