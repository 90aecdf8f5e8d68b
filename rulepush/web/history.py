"""`/api/v1/alerts/history`: what became of alerts, and why. Prometheus has nothing like it; the envelope is its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from string import hexdigits
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.history.history import AlertHistory
from rulepush.history.rows import DEFAULT_LIMIT, MAX_LIMIT, HistoryFilter, transition_json
from rulepush.model.labels import Labels
from rulepush.rules.transition import Transition
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.explain import LastTransitions, RunningRule
from rulepush.web.params import Params

_LONG_AGO: Final = -(1 << 62)
_MAX_LAST: Final = 200  # of the changes of one rule

InThread = Callable[[Callable[[], Response]], Awaitable[Response]]


class HistoryApi:
    """`in_thread` runs what takes long: writing the JSON of many transitions."""

    def __init__(self, history: AlertHistory, in_thread: InThread):
        self._history = history
        self._in_thread = in_thread

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [Route("/alerts/history", self.transitions, methods=["GET"])]

    async def transitions(self, request: Request) -> Response:
        """The newest first; of one alert, with what each Alertmanager answered."""
        wanted = history_filter(await Params.of(request))
        answer = await self._history.find(wanted)
        delivered = self._history.deliveries(wanted.fingerprint) if wanted.fingerprint else None

        def written() -> Response:
            data: dict[str, Any] = {"transitions": [transition_json(one) for one in answer.found]}
            if delivered is not None:
                data["deliveries"] = [one.as_json() for one in delivered]
            return success(data, ["results truncated due to limit"] if answer.is_cut else [])

        return await self._in_thread(written)


def last_transitions(history: AlertHistory) -> LastTransitions:
    """What the explanation of a rule asks of the history: the last change of each of its alerts."""

    async def of(rule: RunningRule) -> Mapping[Labels, Transition]:
        wanted = HistoryFilter(file=rule.file, group=rule.group, rule=rule.name, limit=_MAX_LAST)
        answer = await history.find(wanted)
        return {one.labels: one for one in reversed(answer.found) if len(one.labels)}

    return of


def history_filter(params: Params) -> HistoryFilter:
    """The parameters of a request. Raises ApiError."""
    start, end = params.optional_time("start", _LONG_AGO), params.optional_time("end", -_LONG_AGO)
    if end < start:
        raise ApiError(ErrorType.BAD_DATA, 'invalid parameter "end": end timestamp must not be before start time')
    fingerprint = params.text("fingerprint").lower()
    if fingerprint and not is_fingerprint(fingerprint):
        reason = f'"{fingerprint[:80]}" is not a fingerprint: 16 hexadecimal digits, as an answer of this API has them'
        raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "fingerprint": {reason}')
    limit = params.limit() or DEFAULT_LIMIT
    if limit > MAX_LIMIT:
        raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "limit": at most {MAX_LIMIT:,} are returned at once')
    return HistoryFilter(
        start=None if start == _LONG_AGO else start,
        end=None if end == -_LONG_AGO else end,
        fingerprint=fingerprint,
        alertname=params.text("alertname"),
        file=params.text("file"),
        group=params.text("rule_group"),
        rule=params.text("rule_name"),
        matchers=params.matchers(),
        limit=limit,
    )


def is_fingerprint(text: str) -> bool:
    """Whether this can be the fingerprint of an alert."""
    return len(text) == 16 and all(char in hexdigits for char in text)
