"""A Kubernetes API server for tests: the read side of the API, for rulepush and for client-go (the real Prometheus).

Real HTTP on loopback: list with `limit` and `continue`, watch with `resourceVersion`, bookmarks and `timeoutSeconds`,
selectors, and the ways in which real servers refuse or break off. It is made from

- kubernetes.io/docs/reference/using-api/api-concepts (lists in chunks, watches, bookmarks, 410 Gone, the meaning of
  `resourceVersion` and `resourceVersionMatch`),
- kubernetes/kubernetes api/openapi-spec/swagger.json (paths, the shapes of lists, WatchEvent and Status),
- staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go and staging/src/k8s.io/apiserver/pkg/endpoints/handlers/
  responsewriters/errors.go (the Status of 401, 403, 410, 422 and 504, with their wording), pkg/server/filters/
  maxinflight.go (429), pkg/storage/errors.go and cacher/watch_cache.go ("too old resource version"),
- apimachinery/pkg/apis/meta/internalversion/validation/validation.go (`sendInitialEvents` is refused, as by servers
  without the WatchList feature).

A watch from a version that is too old gets HTTP 200 and an ERROR event, as from a server with its watch cache.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

# kind -> (path of its API, plural, whether it has namespaces)
KINDS: Final = {
    "Pod": ("/api/v1", "pods", True),
    "Endpoints": ("/api/v1", "endpoints", True),
    "Service": ("/api/v1", "services", True),
    "Node": ("/api/v1", "nodes", False),
    "Namespace": ("/api/v1", "namespaces", False),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices", True),
    "Ingress": ("/apis/networking.k8s.io/v1", "ingresses", True),
    "ReplicaSet": ("/apis/apps/v1", "replicasets", True),
    "Job": ("/apis/batch/v1", "jobs", True),
}
_BY_PATH: Final = {(api, plural): kind for kind, (api, plural, _) in KINDS.items()}
_FIELDS: Final = {"pods": ("spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy")}
_PATH: Final = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)")


@dataclass(frozen=True)
class ApiRequest:
    """A request that came. `verb` is list or watch; `namespace` is "" for all."""

    verb: str
    resource: str
    namespace: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class ApiReply:
    """An answer in place of the server's own: after `delay_s` seconds."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True)
class _Stored:
    version: int
    key: str
    object: Json  # with its resourceVersion
    item: bytes  # as an item of a list: without kind and apiVersion
    whole: bytes  # as the object of an event


@dataclass(frozen=True)
class _Event:
    version: int
    kind: str
    before: _Stored | None
    after: _Stored | None


def status(code: int, reason: str, message: str, **details: Any) -> ApiReply:
    """A failure as the API tells it: a Status object."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **({"details": details} if details else {}),
        "code": code,
    }
    return ApiReply(code, json.dumps(body).encode())


def forbidden(
    request: ApiRequest, user: str = "system:serviceaccount:monitoring:rulepush", group: str = ""
) -> ApiReply:
    """What RBAC's refusal looks like."""
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    resource = f"{request.resource}.{group}" if group else request.resource
    message = (
        f'{resource} is forbidden: User "{user}" cannot {request.verb} resource "{request.resource}" in API group '
        f'"{group}" {where}'
    )
    details = {"group": group, "kind": request.resource} if group else {"kind": request.resource}
    return status(403, "Forbidden", message, **details)


def unauthorized() -> ApiReply:
    """No credentials, or ones that do not count."""
    return status(401, "Unauthorized", "Unauthorized")


def too_many_requests(retry_after_s: int = 1) -> ApiReply:
    """Priority and fairness has no place for the request."""
    body = b"Too many requests, please try again later.\n"
    return ApiReply(429, body, "text/plain; charset=utf-8", {"Retry-After": str(retry_after_s)})


class KubernetesServer:
    """A cluster's API on loopback, from construction to `close`. All methods may be called from any thread.

    `put` and `delete` change objects. `tokens` (token -> user) makes it ask for one of these bearer tokens. `refuse`
    may answer any request otherwise: with `forbidden(request)`, `unauthorized()`, or a reply of the test's own.
    `timeout_scale` shortens the `timeoutSeconds` of watches, `bookmark_every_s` is the time between bookmarks.
    """

    def __init__(self, *objects: Json, tls: ssl.SSLContext | None = None, port: int = 0):
        self.tokens: dict[str, str] | None = None
        self.refuse: Callable[[ApiRequest], ApiReply | None] = lambda _: None
        self.timeout_scale = 1.0
        self.bookmark_every_s = 60.0
        self.gone_as_status = False  # 410 as the status of the answer, as without the watch cache
        self.requests: list[ApiRequest] = []
        self.changed = threading.Condition()
        self._stores: dict[str, dict[str, _Stored]] = {kind: {} for kind in KINDS}
        self._version = 1000
        self._events: list[_Event] = []
        self._oldest = 1000  # events after this version are known
        self._snapshots: dict[str, list[_Stored]] = {}
        self._streams = 0
        self._cut = 0  # how many times all streams were cut
        self._cut_inside = False
        self._silent_until_cut = False
        self._bookmarks = 0
        self._closed = False
        for made in objects:
            self.put(made)
        server = self

        class Handler(_Handler):
            api = server

        class Web(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._web = Web(("127.0.0.1", port), Handler)
        if tls is not None:
            self._web.socket = tls.wrap_socket(self._web.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self._web.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self._thread = threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> KubernetesServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, and end every stream."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        self._web.shutdown()
        self._web.server_close()
        self._thread.join()

    # What is there.

    def put(self, made: Json) -> str:
        """Create or replace an object; its new resourceVersion."""
        kind = made["kind"]
        meta = made["metadata"]
        key = f"{meta['namespace']}/{meta['name']}" if KINDS[kind][2] else meta["name"]
        with self.changed:
            self._version += 1
            last = {k: v for k, v in meta.items() if k == "managedFields"}  # in Go's order
            known = {**made, "metadata": {**meta, "resourceVersion": str(self._version)}}
            known["metadata"].pop("managedFields", None)
            known["metadata"] |= last
            item = {k: v for k, v in known.items() if k not in ("kind", "apiVersion")}
            stored = _Stored(self._version, key, known, _json(item), _json(known))
            before = self._stores[kind].get(key)
            self._stores[kind][key] = stored
            self._tell(_Event(self._version, kind, before, stored))
            return str(self._version)

    def delete(self, kind: str, key: str) -> None:
        """Remove an object: its key is `namespace/name`, or its name where its kind has no namespaces."""
        with self.changed:
            before = self._stores[kind].pop(key)
            self._version += 1
            meta = {**before.object["metadata"], "resourceVersion": str(self._version)}
            last = {**before.object, "metadata": meta}
            gone = _Stored(self._version, key, last, b"", _json(last))
            self._tell(_Event(self._version, kind, gone, None))

    def clear(self) -> None:
        """Remove every object."""
        for kind, store in self._stores.items():
            for key in list(store):
                self.delete(kind, key)

    def compact(self) -> None:
        """Forget the past: a watch from any version before now is too old, and so is every `continue`. Watches that
        are open miss nothing."""
        with self.changed:
            self._oldest = self._version + 1
            self._version += 1
            self._snapshots.clear()

    def _tell(self, event: _Event) -> None:
        self._events.append(event)
        self.changed.notify_all()

    # What happens to streams.

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return self._streams

    def bookmark(self) -> None:
        """Send a bookmark now to every watch that takes them."""
        with self.changed:
            self._bookmarks += 1
            self.changed.notify_all()

    def cut_streams(self, *, inside_a_line: bool = False) -> None:
        """Break every open watch, in the middle of an event perhaps."""
        with self.changed:
            self._cut += 1
            self._cut_inside = inside_a_line
            self._silent_until_cut = False
            self.changed.notify_all()

    def silence_streams(self) -> None:
        """Open watches send nothing more and do not end, until they are cut: a half-open connection."""
        with self.changed:
            self._silent_until_cut = True

    def asked(self, verb: str, resource: str) -> list[ApiRequest]:
        """The requests of this kind that came."""
        return [r for r in list(self.requests) if (r.verb, r.resource) == (verb, resource)]

    # Answers.

    def list_page(self, kind: str, request: ApiRequest) -> ApiReply:
        """One page of a list, or its refusal."""
        matches = selector(request)
        if isinstance(matches, ApiReply):
            return matches
        query = request.query
        asked = query.get("resourceVersion", "")
        limit = 0 if asked == "0" else int(query.get("limit") or 0)  # "0" is answered from the cache, all at once
        with self.changed:
            token = query.get("continue")
            if token:
                told = json.loads(base64.urlsafe_b64decode(token))
                items = self._snapshots.get(told["snapshot"])
                if items is None:
                    return status(410, "Expired", _CONTINUE_TOO_OLD)
                version, start = told["rv"], told["start"]
            else:
                version, start = self._version, 0
                if asked.isdigit() and int(asked) > version:
                    return _too_large(asked, version)
                if query.get("resourceVersionMatch") == "Exact" and int(asked) < self._oldest:
                    return status(410, "Expired", f"The resourceVersion for the provided list is too old: {asked}")
                items = [s for _, s in sorted(self._stores[kind].items()) if matches(s)]
            meta: Json = {"resourceVersion": str(version)}
            page = items[start : start + limit] if limit else items[start:]
            left = len(items) - start - len(page)
            if left:
                name = f"{version}/{kind}/{request.namespace}/{query.get('labelSelector')}/{query.get('fieldSelector')}"
                self._snapshots[name] = items
                told = {"rv": version, "start": start + len(page), "snapshot": name}
                meta["continue"] = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
                meta["remainingItemCount"] = left
        head = _json({"kind": f"{kind}List", "apiVersion": _api_version(kind), "metadata": meta})
        body = b"%s,%s:[%s]}\n" % (head[:-1], b'"items"', b",".join(s.item for s in page))
        return ApiReply(200, body)

    def watch_refusal(self, request: ApiRequest) -> ApiReply | None:
        """Why a watch cannot begin."""
        query = request.query
        if "sendInitialEvents" in query:
            why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            return _invalid_options("sendInitialEvents", why)
        if "resourceVersionMatch" in query:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            return _invalid_options("resourceVersionMatch", why)
        asked = query.get("resourceVersion", "")
        if self.gone_as_status and asked not in ("", "0") and int(asked) < self._oldest:
            return status(410, "Expired", f"too old resource version: {asked} ({self._oldest})")
        refused = selector(request)
        return refused if isinstance(refused, ApiReply) else None

    def events(self, kind: str, request: ApiRequest, gone: Callable[[], bool]) -> Iterator[bytes]:
        """The lines of a watch, until its time is over, it is cut, or the client is `gone`."""
        matches = selector(request)
        assert not isinstance(matches, ApiReply)
        query = request.query
        ends = time.monotonic() + float(query.get("timeoutSeconds") or 1800) * self.timeout_scale
        asked = query.get("resourceVersion", "")
        with self.changed:
            self._streams += 1
            cut, bookmarks = self._cut, self._bookmarks
            first: list[bytes] = []
            if asked in ("", "0"):
                known = sorted(self._stores[kind].items())
                first = [_event_line("ADDED", s) for _, s in known if matches(s)]
                seen = self._version
            else:
                seen = int(asked)
                if seen < self._oldest:
                    first = [_error_line(status(410, "Expired", f"too old resource version: {seen} ({self._oldest})"))]
                elif seen > self._version:
                    first = [_error_line(_too_large(asked, self._version))]
        next_bookmark = time.monotonic() + self.bookmark_every_s
        try:
            yield b""  # the status and the headers go out before the first event
            yield from first
            if first and first[0].startswith(b'{"type":"ERROR"'):
                return
            while True:
                with self.changed:
                    new = [e for e in self._after(seen) if e.kind == kind]
                    if not new and self._cut == cut and self._bookmarks == bookmarks and not self._closed:
                        self.changed.wait(0.1)
                        new = [e for e in self._after(seen) if e.kind == kind]
                    if self._closed:
                        raise _CutError(b"")
                    if self._cut != cut:
                        raise _CutError(_HALF_A_LINE if self._cut_inside else b"")
                    silent, version = self._silent_until_cut, self._version
                    told, bookmarks = self._bookmarks != bookmarks, self._bookmarks
                if gone():
                    return
                if silent:
                    continue
                lines = [line for e in new if (line := _line_of(e, matches))]
                seen = version
                now = time.monotonic()
                if query.get("allowWatchBookmarks") in ("true", "1") and (told or now >= next_bookmark):
                    next_bookmark = now + self.bookmark_every_s
                    lines.append(_bookmark_line(kind, version))
                if lines:
                    yield b"".join(lines)
                if now >= ends:
                    return
        finally:
            with self.changed:
                self._streams -= 1
                self.changed.notify_all()

    def _after(self, version: int) -> Sequence[_Event]:
        at = len(self._events)
        while at and self._events[at - 1].version > version:
            at -= 1
        return self._events[at:]


class _CutError(Exception):
    """The stream breaks off after this part of a line."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 3600
    api: KubernetesServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        if self.api.tokens is not None:
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            if kind != "Bearer" or token not in self.api.tokens:
                self._reply(unauthorized())
                return
        if url.path == "/version":
            self._reply(ApiReply(200, b'{"major":"1","minor":"31","gitVersion":"v1.31.4","platform":"linux/amd64"}'))
            return
        found = _PATH.fullmatch(url.path)
        kind_name = _BY_PATH.get((found[1], found[3])) if found else None
        if found is None or kind_name is None or (found[2] and not KINDS[kind_name][2]):
            body = b"404 page not found\n"
            self._reply(ApiReply(404, body, "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"}))
            return
        verb = "watch" if query.get("watch") in ("true", "1") else "list"
        request = ApiRequest(verb, found[3], found[2] or "", query, dict(self.headers.items()))
        with self.api.changed:
            self.api.requests.append(request)
        refusal = self.api.refuse(request)
        if refusal is not None:
            self._reply(refusal)
        elif verb == "list":
            self._reply(self.api.list_page(kind_name, request))
        elif (refusal := self.api.watch_refusal(request)) is not None:
            self._reply(refusal)
        else:
            self._stream(self.api.events(kind_name, request, self._client_is_gone))

    def _reply(self, reply: ApiReply) -> None:
        if reply.delay_s:
            time.sleep(reply.delay_s)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Audit-Id", "4c7c29f0-6f9c-4e52-a24c-0f0c2e7d9a3b")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _stream(self, lines: Iterator[bytes]) -> None:
        with contextlib.closing(lines):  # type: ignore[type-var]
            next(lines)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for line in lines:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            except _CutError as e:
                part: bytes = e.args[0]
                with contextlib.suppress(OSError):
                    if part:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")

    def _client_is_gone(self) -> bool:
        try:
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            if isinstance(self.connection, ssl.SSLSocket):
                return len(self.connection.recv(1)) == 0
            return len(self.connection.recv(1, socket.MSG_PEEK)) == 0
        except (OSError, ValueError):
            return True

    def log_message(self, format: str, *args: Any) -> None:
        pass


_CONTINUE_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


_HALF_A_LINE: Final = b'{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"we'


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _api_version(kind: str) -> str:
    return KINDS[kind][0].removeprefix("/apis/").removeprefix("/api/")


def _too_large(asked: str, version: int) -> ApiReply:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = f"Too large resource version: {asked}, current: {version}"
    return status(504, "Timeout", text, causes=[cause], retryAfterSeconds=1)


def _invalid_options(name: str, why: str) -> ApiReply:
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": name}
    text = f'ListOptions.meta.k8s.io "" is invalid: {name}: Forbidden: {why}'
    return status(422, "Invalid", text, group="meta.k8s.io", kind="ListOptions", causes=[cause])


def _event_line(kind: str, stored: _Stored) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), stored.whole)


def _error_line(failure: ApiReply) -> bytes:
    return b'{"type":"ERROR","object":%s}\n' % failure.body


def _bookmark_line(kind: str, version: int) -> bytes:
    meta = {"resourceVersion": str(version), "creationTimestamp": None}
    made = {"kind": kind, "apiVersion": _api_version(kind), "metadata": meta, "spec": {}, "status": {}}
    return b'{"type":"BOOKMARK","object":%s}\n' % _json(made)


def _line_of(event: _Event, matches: Callable[[_Stored], bool]) -> bytes:
    """What a watch with a selector sees: an object that stops matching is deleted, one that begins to is added."""
    before = event.before is not None and matches(event.before)
    if event.after is None:
        return _event_line("DELETED", event.before) if before and event.before else b""
    if matches(event.after):
        return _event_line("MODIFIED" if before else "ADDED", event.after)
    return _event_line("DELETED", event.after) if before else b""


def selector(request: ApiRequest) -> Callable[[_Stored], bool] | ApiReply:
    """Whether an object belongs to this request, by its namespace and selectors; a reply when they are no good."""
    tests: list[Callable[[Json], bool]] = []
    if request.namespace:
        tests.append(lambda o: o["metadata"].get("namespace") == request.namespace)
    texts = re.split(r",(?![^(]*\))", request.query.get("labelSelector", ""))
    tests += [_label_test(text.strip()) for text in texts if text.strip()]
    for part in filter(None, request.query.get("fieldSelector", "").split(",")):
        name, sign, value = re.split(r"(!=|==|=)", part, maxsplit=1)
        if name not in ("metadata.name", "metadata.namespace", *_FIELDS.get(request.resource, ())):
            text = f'Unable to find "{request.resource}" that match label selector "", field selector "{part}": '
            return status(400, "BadRequest", f"{text}field label not supported: {name}")
        tests.append(_field_test(name, value, sign == "!="))
    return lambda stored: all(test(stored.object) for test in tests)


def _field_test(name: str, value: str, negated: bool) -> Callable[[Json], bool]:
    def test(made: Json) -> bool:
        found: Any = made
        for key in name.split("."):
            found = found.get(key, "") if isinstance(found, dict) else ""
        return bool(found == value) != negated

    return test


def _label_test(text: str) -> Callable[[Json], bool]:
    def labels(made: Json) -> Mapping[str, str]:
        return made["metadata"].get("labels") or {}

    chosen = re.fullmatch(r"(\S+)\s+(in|notin)\s*\((.*)\)", text)
    if chosen:
        name, values = chosen[1], {v.strip() for v in chosen[3].split(",")}
        if chosen[2] == "in":
            return lambda o: labels(o).get(name) in values
        return lambda o: labels(o).get(name) not in values
    compared = re.fullmatch(r"([^!=\s]+)\s*(!=|==|=)\s*(.*)", text)
    if compared:
        name, value = compared[1], compared[3]
        if compared[2] == "!=":
            return lambda o: labels(o).get(name) != value
        return lambda o: labels(o).get(name) == value
    if text.startswith("!"):
        return lambda o: text[1:].strip() not in labels(o)
    return lambda o: text in labels(o)
