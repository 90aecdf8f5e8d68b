"""A Eureka server in one function, after the sources of Netflix' and Spring Cloud's.

Netflix/eureka: eureka-core resources/ApplicationsResource.java (Accept, gzip, 403 while the registry is closed);
eureka-client converters/Converters.java and XmlXStream.java (the XML and its escaped names), InstanceInfo.java (the
order of the @Auto fields), converters/EurekaJacksonCodec.java (the JSON). spring-cloud-netflix-eureka-server
EurekaServerAutoConfiguration.java: the resources are under `/eureka/v2`, and every other path under `/eureka` is taken
for one there. What is neither is Spring Boot's 404 page.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import httpx

from tests.http_server import HttpReply, HttpRequest

_DEFAULT_CENTER = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
_AMAZON_CENTER = "com.netflix.appinfo.AmazonInfo"
_EMPTY_MAP = "java.util.Collections$EmptyMap"
_AUTO = ("appGroupName", "homePageUrl", "statusPageUrl", "healthCheckUrl", "secureHealthCheckUrl", "vipAddress")
_NOT_IN_XML_NAMES = re.compile(r"^[\d.\-]|[^\w.\-]")


def spring_instance(app: str, host: str, number: int = 8080, **changes: Any) -> dict[str, Any]:
    """What an application of Spring Cloud registers (InstanceInfoFactory.java, EurekaInstanceConfigBean.java)."""
    return {
        "instanceId": f"{host}:{app.lower()}:{number}",
        "hostName": host,
        "app": app,
        "ipAddr": "10.0.0.1",
        "status": "UP",
        "overriddenStatus": "UNKNOWN",
        "port": (number, True),
        "securePort": (443, False),
        "countryId": 1,
        "dataCenterInfo": ("MyOwn", None),
        "metadata": {"management.port": str(number)},
        "homePageUrl": f"http://{host}:{number}/",
        "statusPageUrl": f"http://{host}:{number}/actuator/info",
        "healthCheckUrl": f"http://{host}:{number}/actuator/health",
        "vipAddress": app.lower(),
        "secureVipAddress": app.lower(),
        **changes,
    }


@dataclass
class FakeEureka:
    """`apps` are the instances of each application; tests change them, and the rest, while it serves."""

    apps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    user: str = ""  # name:password that every request needs
    open: bool = True  # whether the registry allows access
    only_json: bool = False  # as servers that speak the protocol but have no XML
    instead: HttpReply | None = None  # an answer of another server
    requests: list[dict[str, str]] = field(default_factory=list)  # the headers of each, by lower-case names

    def reply(self, request: HttpRequest) -> HttpReply:
        """For a LoopbackServer."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(headers)
        if self.instead is not None:
            return self.instead
        if self.user and headers.get("authorization") != "Basic " + base64.b64encode(self.user.encode()).decode():
            return HttpReply(b"", 401, "text/plain", {"WWW-Authenticate": "Basic"})
        if request.path not in ("/eureka/apps", "/eureka/v2/apps"):
            error = {"status": 404, "error": "Not Found", "path": request.path}
            return HttpReply(json.dumps(error).encode(), 404, "application/json")
        if not self.open:
            return HttpReply(b"", 403, "text/plain")
        wants_json = self.only_json or "json" in headers.get("accept", "")
        body = (applications_json(self.apps) if wants_json else applications_xml(self.apps)).encode()
        kind = "application/json" if wants_json else "application/xml"
        if "gzip" in headers.get("accept-encoding", ""):
            return HttpReply(gzip.compress(body), 200, kind, {"Content-Encoding": "gzip"})
        return HttpReply(body, 200, kind)

    def transport(self) -> httpx.MockTransport:
        """For a client of a unit test."""

        def handle(request: httpx.Request) -> httpx.Response:
            headers = Message()
            for name, value in request.headers.items():
                headers[name] = value
            answer = self.reply(HttpRequest(request.method, request.url.path, headers, b""))
            return httpx.Response(
                answer.status, headers={"Content-Type": answer.content_type, **answer.headers}, content=answer.body
            )

        return httpx.MockTransport(handle)


def applications_xml(apps: dict[str, list[dict[str, Any]]]) -> str:
    """As XStream's PrettyPrintWriter and XmlFriendlyNameCoder write it."""
    lines = ["<applications>", "  <versions__delta>1</versions__delta>", "  <apps__hashcode>UP_1_</apps__hashcode>"]
    for name, instances in apps.items():
        lines += ["  <application>", f"    <name>{_escaped(name)}</name>"]
        for instance in instances:
            lines += ["    <instance>", *(f"      {line}" for line in _instance_xml(instance)), "    </instance>"]
        lines.append("  </application>")
    return "\n".join([*lines, "</applications>"])


def _instance_xml(info: dict[str, Any]) -> list[str]:
    lines = [f"<{n}>{_escaped(str(info[n]))}</{n}>" for n in ("instanceId", "hostName", "app", "ipAddr") if n in info]
    lines.append(f"<status>{info['status']}</status>")
    lines.append(f"<overriddenstatus>{info['overriddenStatus']}</overriddenstatus>")
    for name in ("port", "securePort"):
        if name in info:
            number, enabled = info[name]
            lines.append(f'<{name} enabled="{str(enabled).lower()}">{number}</{name}>')
    lines.append(f"<countryId>{info['countryId']}</countryId>")
    if "dataCenterInfo" in info:
        center, metadata = info["dataCenterInfo"]
        lines += [
            f'<dataCenterInfo class="{_AMAZON_CENTER if center == "Amazon" else _DEFAULT_CENTER}">',
            f"  <name>{center}</name>",
            *(f"  {line}" for line in ([] if metadata is None else _metadata_xml(metadata))),
            "</dataCenterInfo>",
        ]
    lines += ["<leaseInfo>", "  <renewalIntervalInSecs>30</renewalIntervalInSecs>", "</leaseInfo>"]
    lines += _metadata_xml(info["metadata"]) if "metadata" in info else []
    lines += [f"<{n}>{_escaped(info[n])}</{n}>" for n in (*_AUTO, "secureVipAddress") if n in info]
    lines.append("<isCoordinatingDiscoveryServer>false</isCoordinatingDiscoveryServer>")
    return [*lines, "<actionType>ADDED</actionType>"]


def _metadata_xml(metadata: dict[str, str]) -> list[str]:
    if not metadata:
        return [f'<metadata class="{_EMPTY_MAP}"/>']
    inside = [f"  <{_name(k)}>{_escaped(v)}</{_name(k)}>" if v else f"  <{_name(k)}/>" for k, v in metadata.items()]
    return ["<metadata>", *inside, "</metadata>"]


def _name(key: str) -> str:
    """XmlFriendlyNameCoder.encodeName with its defaults."""
    replaced = key.replace("_", "__").replace("$", "_-")
    return _NOT_IN_XML_NAMES.sub(lambda found: f"_.{ord(found[0]):04x}", replaced)


def _escaped(text: str) -> str:
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(char, entity)
    return text


def applications_json(apps: dict[str, list[dict[str, Any]]]) -> str:
    """As EurekaJacksonCodec writes it."""
    found = [{"name": name, "instance": [_instance_json(i) for i in instances]} for name, instances in apps.items()]
    return json.dumps({"applications": {"versions__delta": "1", "apps__hashcode": "UP_1_", "application": found}})


def _instance_json(info: dict[str, Any]) -> dict[str, Any]:
    made = dict(info)
    for name in ("port", "securePort"):
        if name in info:
            number, enabled = info[name]
            made[name] = {"$": number, "@enabled": str(enabled).lower()}
    if "dataCenterInfo" in info:
        center, metadata = info["dataCenterInfo"]
        kind = _AMAZON_CENTER if center == "Amazon" else _DEFAULT_CENTER
        made["dataCenterInfo"] = {"@class": kind, "name": center, **({"metadata": metadata} if metadata else {})}
    if info.get("metadata") == {}:
        made["metadata"] = {"@class": _EMPTY_MAP}
    made["isCoordinatingDiscoveryServer"] = "false"
    return made
