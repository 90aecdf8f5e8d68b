"""Classes of protobuf messages, made from tables. The only file that imports protobuf.

Descriptors are built in a pool of their own, so that no generated file has to match the installed protobuf library and
nothing collides with another user of the same names. To be imported only when something speaks protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = ["DecodeError", "MessageFields", "declare_messages"]

_F = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "double": _F.TYPE_DOUBLE,
    "int64": _F.TYPE_INT64,
    "uint64": _F.TYPE_UINT64,
    "uint32": _F.TYPE_UINT32,
    "sint32": _F.TYPE_SINT32,
    "sint64": _F.TYPE_SINT64,
    "bytes": _F.TYPE_BYTES,
    "enum": _F.TYPE_INT32,  # an enum is an int32 on the wire; unknown values must not fail
}

MessageFields = Mapping[str, tuple[int, str, bool]]
"""field -> (number, type, repeated); a type that is not a scalar is a message of the same package. Fields that are left
out are skipped as unknown ones. With `?` after a scalar HasField tells whether it was sent. A message's field of type
`bytes` holds it unread."""


def declare_messages(
    package: str,
    messages: Mapping[str, MessageFields],
    *,
    strict_texts: bool = True,
    presence: bool = False,
) -> dict[str, Any]:
    """The class of each message by its name. (They exist at run time only, so their fields have no static types.)

    `strict_texts`  fields of type `string` must be UTF-8, or the whole message is refused; else they are bytes
    `presence`      as in proto2: of each field that is not repeated HasField tells whether it was sent
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto2" if presence else "proto3"
    )
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number)
            if kind.endswith("?"):
                kind = kind[:-1]
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
            field.label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            if kind == "string":
                field.type = _F.TYPE_STRING if strict_texts else _F.TYPE_BYTES
            elif kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _F.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}
