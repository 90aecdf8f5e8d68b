"""The protobuf messages of remote write, in both versions, and of remote read. The only file that imports protobuf.

Sources: prometheus/prompb/{remote,types}.proto (1.0) and prompb/io/prometheus/write/v2/types.proto (2.0). The
descriptors are built here from a table, in a pool of their own, so that no generated file has to match the installed
protobuf library and nothing collides with another user of the same names. Native histograms are declared with their
timestamp only: they are counted, never read, and protobuf skips unknown fields.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from rulepush.errors import RemoteWriteError

_F = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "double": _F.TYPE_DOUBLE,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "enum": _F.TYPE_INT32,  # an enum is an int32 on the wire; unknown values must not fail
}

# message -> field -> (number, type, repeated); a type that is not a scalar is a message of the same file.
_Fields = dict[str, tuple[int, str, bool]]

_V1: Final[dict[str, _Fields]] = {
    "Label": {"name": (1, "string", False), "value": (2, "string", False)},
    "Sample": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "Exemplar": {
        "labels": (1, "Label", True),
        "value": (2, "double", False),
        "timestamp": (3, "int64", False),
    },
    "Histogram": {"timestamp": (15, "int64", False)},
    "TimeSeries": {
        "labels": (1, "Label", True),
        "samples": (2, "Sample", True),
        "exemplars": (3, "Exemplar", True),
        "histograms": (4, "Histogram", True),
    },
    "MetricMetadata": {
        "type": (1, "enum", False),
        "metric_family_name": (2, "string", False),
        "help": (4, "string", False),
        "unit": (5, "string", False),
    },
    "WriteRequest": {"timeseries": (1, "TimeSeries", True), "metadata": (3, "MetricMetadata", True)},
    "LabelMatcher": {"type": (1, "enum", False), "name": (2, "string", False), "value": (3, "string", False)},
    "Query": {
        "start_timestamp_ms": (1, "int64", False),
        "end_timestamp_ms": (2, "int64", False),
        "matchers": (3, "LabelMatcher", True),
    },
    "ReadRequest": {"queries": (1, "Query", True), "accepted_response_types": (2, "enum", True)},
    "QueryResult": {"timeseries": (1, "TimeSeries", True)},
    "ReadResponse": {"results": (1, "QueryResult", True)},
}

_V2: Final[dict[str, _Fields]] = {
    "Sample": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "Exemplar": {
        "labels_refs": (1, "uint32", True),
        "value": (2, "double", False),
        "timestamp": (3, "int64", False),
    },
    "Histogram": {"timestamp": (15, "int64", False)},
    "Metadata": {
        "type": (1, "enum", False),
        "help_ref": (3, "uint32", False),
        "unit_ref": (4, "uint32", False),
    },
    "TimeSeries": {
        "labels_refs": (1, "uint32", True),
        "samples": (2, "Sample", True),
        "histograms": (3, "Histogram", True),
        "exemplars": (4, "Exemplar", True),
        "metadata": (5, "Metadata", False),
        "created_timestamp": (6, "int64", False),
    },
    "Request": {"symbols": (4, "string", True), "timeseries": (5, "TimeSeries", True)},
}

# The enum MetricType of both versions, as the exposition formats name it.
METRIC_TYPES: Final = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


def _file(
    name: str, package: str, messages: dict[str, _Fields], text_type: _F.Type.ValueType
) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            if kind == "string":
                field.type = text_type
            elif kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _F.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
    return file


def _messages(text_type: _F.Type.ValueType) -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file("prompb.proto", "prometheus", _V1, text_type))
    pool.Add(_file("io/prometheus/write/v2/types.proto", "io.prometheus.write.v2", _V2, text_type))
    # The classes exist at run time only, so their fields have no static types.
    names = (
        "prometheus.WriteRequest",
        "prometheus.ReadRequest",
        "prometheus.ReadResponse",
        "io.prometheus.write.v2.Request",
    )
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


_STRICT: Final = _messages(_F.TYPE_STRING)
WriteRequest: Final = _STRICT["prometheus.WriteRequest"]
ReadRequest: Final = _STRICT["prometheus.ReadRequest"]
ReadResponse: Final = _STRICT["prometheus.ReadResponse"]
RequestV2: Final = _STRICT["io.prometheus.write.v2.Request"]


@cache
def _lenient_messages() -> dict[str, Any]:
    """The same with bytes for texts: protobuf refuses a whole message for one text that is not UTF-8, Prometheus'
    decoder does not check texts. Built when the first such message arrives, which is rare."""
    return _messages(_F.TYPE_BYTES)


def parse_message(message: Any, data: bytes) -> Any:
    """Parse `data` as `message` (one of the above). Where a text is not UTF-8, all texts of the result are
    bytes: read them with `text_of`. Raises RemoteWriteError 400."""
    name = message.DESCRIPTOR.full_name
    try:
        return message.FromString(data)
    except (DecodeError, UnicodeDecodeError):
        try:
            return _lenient_messages()[name].FromString(data)
        except DecodeError as e:
            raise RemoteWriteError(400, f"the body is not a protobuf {name}: {e}") from None


def text_of(value: str | bytes) -> str:
    """A text of a message; bytes that are not UTF-8 become surrogates, which no valid text has."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
