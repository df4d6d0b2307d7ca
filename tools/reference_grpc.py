"""The page of the gRPC interface, from the proto files with their comments."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.rpc import code_pb2

from rheostat.api.errors import STATUS_OF
from rheostat.door.permissions import PERMISSIONS

PROTO = Path(__file__).resolve().parent.parent / "proto"
FILES = ("runs", "learning_rates", "policies", "checkpoints", "types")
"""In the order of the page."""
HEAD = """# gRPC

Package `rheostat.v1`, written by `tools/reference.py` from the
[proto files](../../proto/rheostat/v1) and the table of permissions.
[How to call it](../how-to/steer-over-grpc.md) without Rheostat's client. A daemon also serves
`grpc.health.v1.Health` and, where it does not ask who is calling or is told to (`--reflection`),
reflection.

Where a daemon has [roles](../security.md#what-callers-may-do), every RPC takes one; whoever has a
higher one may call it too: viewer, operator, admin.
"""
# The numbers by which a location in a file is found, as descriptor.proto has them.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS, METHODS, VALUES = 2, 3, 4, 2, 2
Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A proto file, and its comments by place."""

    file: FileDescriptorProto
    comments: dict[Place, str]

    def about(self, what: str, *place: int) -> str:
        """Return what a comment says, in one line."""
        assert place in self.comments, f"{self.file.name}: {what} says nothing about itself"
        return self.comments[place].replace("|", "\\|").replace("<", "\\<")


def read() -> list[Described]:
    """Compile the proto files, with their comments."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", "--include_source_info"]
        names = [f"rheostat/v1/{name}.proto" for name in FILES]
        subprocess.run([*command, f"--descriptor_set_out={file}", *names], check=True)
        compiled = FileDescriptorSet.FromString(file.read_bytes())
    by_name = {one.name: one for one in compiled.file}
    return [Described(by_name[name], _comments(by_name[name])) for name in names]


def _comments(file: FileDescriptorProto) -> dict[Place, str]:
    return {
        tuple(one.path): " ".join(one.leading_comments.split())
        for one in file.source_code_info.location
        if one.leading_comments
    }


def page() -> str:
    """Return the page."""
    described = read()
    parts = [HEAD, *_statuses()]
    for one in described:
        parts += _services(one)
    parts.append("## Messages\n")
    for one in described:
        for index, message in enumerate(one.file.message_type):
            parts += _message(one, message, "", MESSAGES, index)
        for index, enum in enumerate(one.file.enum_type):
            parts += _enum(one, enum, "", ENUMS, index)
    return "\n".join(parts)


def _statuses() -> Iterator[str]:
    yield "## Statuses\n"
    yield (
        "An error carries `google.rpc.ErrorInfo` with its class as the reason; an invalid request "
        "also `google.rpc.BadRequest` with a violation per field.\n"
    )
    yield "| status | error of `rheostat.errors` | when |\n|---|---|---|"
    for error, code in STATUS_OF.items():
        says = (error.__doc__ or "").partition("\n")[0]
        yield f"| `{code_pb2.Code.Name(code)}` | `{error.__name__}` | {says} |"
    yield ""


def _services(described: Described) -> Iterator[str]:
    for index, service in enumerate(described.file.service):
        yield f"## {service.name}\n"
        yield described.about(service.name, SERVICES, index) + "\n"
        for place, method in enumerate(service.method):
            yield f"### {method.name}\n"
            yield described.about(method.name, SERVICES, index, METHODS, place) + "\n"
            full_name = f"/{described.file.package}.{service.name}/{method.name}"
            yield f"{_signature(method)}. Takes the role {PERMISSIONS[full_name].role.value}.\n"


def _signature(method: MethodDescriptorProto) -> str:
    def written(type_name: str, is_stream: bool) -> str:
        return ("a stream of " if is_stream else "") + _link(type_name)

    asked = written(method.input_type, method.client_streaming)
    answered = written(method.output_type, method.server_streaming)
    return f"{asked} → {answered}"


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".rheostat.v1.")
    return f"[{name}](#{name.lower().replace('.', '')})"


def _message(
    described: Described, message: DescriptorProto, within: str, *place: int
) -> Iterator[str]:
    name = within + message.name
    if message.options.map_entry:
        return
    yield f"### {name}\n"
    yield described.about(name, *place) + "\n"
    rows = [
        f"| `{field.name}` | {_type(field, message)} | "
        f"{described.about(f'{name}.{field.name}', *place, FIELDS, index)} |"
        for index, field in enumerate(message.field)
    ]
    if rows:
        yield "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"
    for index, nested in enumerate(message.nested_type):
        yield from _message(described, nested, f"{name}.", *place, NESTED, index)
    for index, enum in enumerate(message.enum_type):
        yield from _enum(described, enum, f"{name}.", *place, NESTED_ENUMS, index)


def _enum(
    described: Described, enum: EnumDescriptorProto, within: str, *place: int
) -> Iterator[str]:
    name = within + enum.name
    yield f"### {name}\n"
    yield described.about(name, *place) + "\n"
    rows = [
        f"| `{value.name}` | {described.about(value.name, *place, VALUES, index)} |"
        for index, value in enumerate(enum.value)
    ]
    yield "\n".join(["| value | |", "|---|---|", *rows]) + "\n"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    if entry := _map_entry(field, message.nested_type):
        key, value = entry.field
        return f"map of {_plain(key)} to {_plain(value)}"
    words = [_plain(field)]
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        words.insert(0, "repeated")
    elif field.proto3_optional:
        words.insert(0, "optional")
    elif field.HasField("oneof_index"):
        words.append(f"in `{message.oneof_decl[field.oneof_index].name}`")
    return " ".join(words)


def _map_entry(
    field: FieldDescriptorProto, nested: Sequence[DescriptorProto]
) -> DescriptorProto | None:
    name = field.type_name.rpartition(".")[2]
    return next((one for one in nested if one.options.map_entry and one.name == name), None)


def _plain(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
