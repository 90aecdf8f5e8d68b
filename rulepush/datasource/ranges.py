"""The values of an expression over time, for a chart: one request, small, without a second attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.answer import samples_of
from rulepush.errors import DatasourceError
from rulepush.http_client.exchange import exchange
from rulepush.model.sample import Sample

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

MAX_CHART_BYTES: Final = 4 << 20
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}


async def values_over_time(
    client: AnyClient, config: DatasourceConfig, expr: str, start: int, end: int, step: int, within_s: float
) -> list[Sample]:
    """The samples of all series from `start` to `end` every `step` (ms), within `within_s` seconds. Raises
    EvaluationError."""
    times = {"start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}", "step": f"{step / 1000:.3f}"}
    asked = {"query": expr, **times, "timeout": f"{max(1, round(within_s * 1000))}ms"}
    # VictoriaMetrics leaves out the newest points unless told not to.
    content = urlencode({**asked, "nocache": "1", **dict(config.params)}).encode()
    url = f"{config.url.reveal()}/api/v1/query_range"
    try:
        got = await exchange(
            client, "POST", url, content, _HEADERS, within_s, idempotent=True, max_bytes=MAX_CHART_BYTES
        )
    except TimeoutError:
        raise DatasourceError(f"no answer within {within_s:g}s") from None
    except Exception as e:
        import httpx

        if not isinstance(e, httpx.HTTPError):
            raise
        from rulepush.http_client.client import reason

        raise DatasourceError(f"not reached: {reason(e)}") from None
    if len(got.text) >= MAX_CHART_BYTES:
        raise DatasourceError(f"the answer has more than {MAX_CHART_BYTES >> 20} MiB, too much for a chart")
    return samples_of(got.status, got.phrase, got.headers.get("content-type", ""), got.text, end, is_range=True)
