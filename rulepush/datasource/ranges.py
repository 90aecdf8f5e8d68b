"""The values of an expression over time, for a chart: one request, small, without a second attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.answer import samples_of
from rulepush.datasource.request import params_of, post_query
from rulepush.errors import DatasourceError
from rulepush.histogram.sample import floats_of_samples
from rulepush.model.sample import Sample

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

MAX_CHART_BYTES: Final = 4 << 20


async def values_over_time(
    client: AnyClient, config: DatasourceConfig, expr: str, start: int, end: int, step: int, within_s: float
) -> list[Sample]:
    """The float samples of all series from `start` to `end` every `step` (ms), within `within_s` seconds. Raises
    EvaluationError."""
    times = {"start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}", "step": f"{step / 1000:.3f}"}
    asked = {"query": expr, **times, "timeout": f"{max(1, round(within_s * 1000))}ms", **params_of(config)}
    url = f"{config.url.reveal()}/api/v1/query_range"
    got = await post_query(client, url, urlencode(asked).encode(), within_s, MAX_CHART_BYTES)
    if len(got.text) >= MAX_CHART_BYTES:
        raise DatasourceError(f"the answer has more than {MAX_CHART_BYTES >> 20} MiB, too much for a chart")
    found = samples_of(got.status, got.phrase, got.headers.get("content-type", ""), got.text, end, is_range=True)
    return list(floats_of_samples(found))
