"""Random messages of any RPC, and bytes that were messages before something went wrong."""

import random
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import rheostat.v1

RUNS = ("target", "target", "target", "queued", "none", "", "*", "target\0", "Target", "a" * 300)
TEXTS = (
    *RUNS,
    "scale",
    "lockstep",
    "plateau",
    "rules",
    "learned",
    "os:system",
    "rheostat.api:x",
    "../../etc/passwd",
    "/etc/passwd",
    "{}",
    "[]",
    "{",
    '{"factor": 0.5}',
    '{"factor": NaN, "patience": 1e999}',
    '{"file": "/dev/zero"}',
    '{"rules": [{"when": "loss > 1", "then": {"factor": 0.5}}]}',
    "[" * 2000,
    "default",
    "step_size",
    "1",
    "-1",
    "9" * 400,
    "\u202e\U0001f4a3",
    "x" * 5000,
    "name: {a: &a [*a]}",
    "train: {steps: 1}",
)
HONEST: Mapping[str, tuple[dict[str, Any], ...]] = {
    "ChangeLearningRate": (
        {"scale": {"factor": 0.9}, "request_id": "1"},
        {"scale": {"factor": 100.0}, "request_id": "default", "wait": False},
        {"ramp": {"learning_rate": 1e-3, "steps": 20}, "expires_after_steps": 50},
        {"hold": {"learning_rate": 1e-3}, "groups": ["default"], "at_step": 1},
        {"set": {"learning_rate": 2e-3}, "dry_run": True},
        {"release": {}},
    ),
    "SwapSchedule": ({"schedule": "step_size"}, {"schedule": "StepLR", "args": '{"step_size": 9}'}),
    "SetHorizon": ({"steps": 10**8}, {"steps": 10**7, "rescale": True}),
    "StartCooldown": ({"steps": 10**6, "shape": "1-sqrt"},),
    "RewarmSchedule": ({"steps": 100, "ratio": 0.5},),
    "ProbeLearningRates": ({"learning_rates": [1e-4, 1e-2], "steps": 2},),
    "ApproveChange": ({"request_id": "default"}, {"request_id": "1"}),
    "AttachPolicy": ({"policy": "loss_spike"}, {"policy": "plateau", "shadow": True}),
    "UpdatePolicy": ({"policy": "plateau", "revive": True}, {"policy": "loss_spike"}),
    "DetachPolicy": ({"policy": "plateau"}, {"policy": "loss_spike", "ramp_steps": 5}),
    "ConnectPolicy": (
        {"hello": {"run": "target", "policy": "far", "schema_version": 1, "mode": "async"}},
        {"action": {"step": 1, "factor": 0.5, "reason": "x"}},
    ),
    "RollbackRun": ({"back_steps": 1, "skip": 2}, {"back_steps": 10, "scale": 0.5}),
    "ForkRun": ({}, {"spec": "train: {seed: 2}"}),
    "SaveCheckpoint": ({}, {"pin": True}),
}
"""What somebody might really ask of the run `target`, by RPC."""
NUMBERS = (0, 1, -1, 2, 100, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
REALS = (
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.0,
    1e-300,
    1e300,
    5e-324,
    float("inf"),
    float("-inf"),
    float("nan"),
)
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def rpcs() -> list[MethodDescriptor]:
    """Return every RPC of the contract, of health and of reflection, from their descriptors."""
    files = [
        import_module(f"{rheostat.v1.__name__}.{module.name}").DESCRIPTOR
        for module in iter_modules(rheostat.v1.__path__)
        if module.name.endswith("_pb2")
    ]
    files += [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    services = [service for file in files for service in file.services_by_name.values()]
    return [method for service in services for method in service.methods]


def path_of(method: MethodDescriptor) -> str:
    """Return an RPC's name on the wire, `/package.Service/Method`."""
    return f"/{method.containing_service.full_name}/{method.name}"


def message_for(draw: random.Random, method: MethodDescriptor) -> Any:
    """Return a message for an RPC: a true one now and then, else a random one."""
    if draw.random() < 0.4 and (known := HONEST.get(method.name)):
        fields = dict(draw.choice(known))
        if "run" in method.input_type.fields_by_name:
            fields["run"] = "target"
        return message_factory.GetMessageClass(method.input_type)(**fields)
    return random_message(draw, method.input_type)


def random_message(draw: random.Random, kind: Descriptor, depth: int = 0) -> Any:
    """Return a message with some of its fields, each with a value that its type allows."""
    message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if field.name != "run" and draw.random() < 0.4:
            continue
        if field.is_repeated:
            for _ in range(draw.randrange(4)):
                _add(draw, message, field, depth)
        elif field.message_type is not None:
            if depth < 4:
                inner = random_message(draw, field.message_type, depth + 1)
                getattr(message, field.name).CopyFrom(inner)
        else:
            setattr(message, field.name, _value(draw, field))
    return message


def mutated(draw: random.Random, content: bytes) -> bytes:
    """Return bytes that are almost those: some flipped, cut, doubled or made up."""
    changed = bytearray(content)
    for _ in range(draw.randrange(1, 6)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(4):
            case 0 if changed:
                changed[place % len(changed)] ^= 1 << draw.randrange(8)
            case 1:
                del changed[place : place + draw.randrange(1, 20)]
            case 2:
                changed[place:place] = draw.randbytes(draw.randrange(1, 20))
            case _:
                changed[place:place] = changed[place : place + draw.randrange(1, 50)]
    return bytes(changed)


def _add(draw: random.Random, message: Any, field: FieldDescriptor, depth: int) -> None:
    into = getattr(message, field.name)
    if field.message_type is None:
        into.append(_value(draw, field))
    elif field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        if value.message_type is None:
            into[_value(draw, key)] = _value(draw, value)
    elif depth < 4:
        into.add().CopyFrom(random_message(draw, field.message_type, depth + 1))


def _value(draw: random.Random, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return draw.randbytes(draw.randrange(40))
        case FieldDescriptor.CPPTYPE_STRING:
            return draw.choice(RUNS if field.name == "run" else TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return draw.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return draw.choice((*REALS, draw.uniform(-10, 10)))
        case FieldDescriptor.CPPTYPE_ENUM:
            return draw.choice(field.enum_type.values).number
    low, high = _BOUNDS[field.cpp_type]
    return max(low, min(high, draw.choice((*NUMBERS, draw.randrange(-10, 1000)))))
