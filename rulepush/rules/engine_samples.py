"""What a query reads on a datasource, as samples: for explanations, which show every part of the expression."""

from __future__ import annotations

import asyncio
from typing import Final

from rulepush.errors import EvaluationError
from rulepush.model.matcher import selector_text
from rulepush.model.sample import Sample
from rulepush.promql import Query
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.rules.asking import Datasource, Question
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

_FOR_EVER_MS: Final = 1 << 50


async def samples_of_engine(datasource: Datasource, query: Query, ts: int, within_s: float) -> Head:
    """The samples that the selectors of the query find, evaluated at `ts` (ms). Raises EvaluationError."""
    wanted: dict[tuple[str, int], int] = {}
    for use in query.selectors(DEFAULT_LOOKBACK_MS):
        key = selector_text(use.matchers), ts if use.since_ms is None else use.since_ms
        wanted[key] = max(wanted.get(key, 0), use.lookback_ms)
    questions = [Question(f"{text}[{back}ms]", at, is_range=True) for (text, at), back in wanted.items()]
    found: dict[tuple[object, int], Sample] = {}
    for answer in await asyncio.gather(*(datasource.ask(question, within_s) for question in questions)):
        if isinstance(answer, EvaluationError):
            raise answer
        found.update(((sample.labels, sample.ts), sample) for sample in answer)
    head = Head(Demand.keep_all(_FOR_EVER_MS))
    head.append_many(sorted(found.values(), key=lambda sample: sample.ts))
    return head
