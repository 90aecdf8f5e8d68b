"""Frame: from a template and typed data to the answer with a page: navigation, language, what is wrong now, headers.

Nothing of Jinja2 is loaded before the first page is asked for: a sidecar that nobody looks at does not pay for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rulepush.clock import Clock
from rulepush.site.assets import assets
from rulepush.site.compression import compressed, takes_gzip
from rulepush.site.framed import FramedPage, LanguageChoice
from rulepush.site.language import COOKIE, PARAMETER, Language, Message, chosen_language, language_of
from rulepush.site.trouble import Trouble

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding, Accept-Language, Cookie",
}
_YEAR_SECONDS: Final = 365 * 24 * 3600


class Frame:
    """Makes pages. `prefix` is the path of `--web.external-url`, `troubles()` what is wrong now."""

    def __init__(self, clock: Clock, prefix: str = "", troubles: Callable[[], Iterable[Trouble]] = tuple):
        self.clock = clock
        self.prefix = prefix
        self._troubles = troubles

    async def page(
        self,
        request: Request,
        template: str,
        title: Message | str,
        section: str,
        status_code: int = 200,
        **values: object,
    ) -> Response:
        """The answer: `template` filled with `values`, and with `page`, a FramedPage.

        It is rendered in a thread, so that rules are evaluated and alerts sent meanwhile. So `values` must not change
        any more: frozen views of what there is, collected before this is called.
        """
        framed = self._framed(request, title, section)
        zipped = takes_gzip(request)
        html = await asyncio.to_thread(_rendered, template, {**values, "page": framed}, zipped)
        encoding = {"Content-Encoding": "gzip"} if zipped else {}
        response = HTMLResponse(html, status_code, headers={**_HEADERS, **encoding})
        chosen = chosen_language(request)
        if chosen is not None:
            path = f"{self.prefix}/"
            response.set_cookie(COOKIE, chosen.value, _YEAR_SECONDS, path=path, httponly=True, samesite="lax")
        return response

    def _framed(self, request: Request, title: Message | str, section: str) -> FramedPage:
        path = self.prefix + _path_of(request)
        others = request.url.remove_query_params(PARAMETER)
        files = assets()
        return FramedPage(
            title=title,
            section=section,
            path=path,
            query=request.url.query,
            language=language_of(request),
            prefix=self.prefix,
            now=self.clock.now(),
            troubles=tuple(self._troubles()),
            choices=[
                LanguageChoice(language, f"{path}?{others.include_query_params(**{PARAMETER: language.value}).query}")
                for language in Language
            ],
            style=self.prefix + files["style.css"].path,
            script=self.prefix + files["site.js"].path,
        )


def _path_of(request: Request) -> str:
    """The path below the prefix of the routes, as it was asked for: a name in it may have a quoted slash."""
    raw = request.scope.get("raw_path")
    path = raw.decode("ascii", "replace").partition("?")[0] if raw else quote(request.url.path)
    return str(path).removeprefix(quote(request.scope.get("root_path", "")))


def _rendered(template: str, values: dict[str, object], zipped: bool) -> bytes:
    from rulepush.site.environment import templates

    html = templates().get_template(template).render(values).encode("utf-8", "replace")
    return compressed(html) if zipped else html
