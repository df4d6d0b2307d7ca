"""Who steps which parameters: the optimizer, and the entries of `groups`.

An entry is a *rule* (the key `match`) or a *preset* (the key `preset`). Rules and the presets
`layer_decay`, `tiers` and `head` give each parameter its place: they are asked in order, and the
first that wants a parameter has it. The presets `no_decay_1d` and `muon_2d` then change how some
of the parameters of those places are stepped. All of them know a parameter by its name in the
model, never by its index. docs/param-groups.md shows them at work.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter

from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.section import Args, Name, Section

STEM = (
    r"^(conv1|bn1|stem)\.|(^|\.)(conv_proj|norm_pre|embed_(tokens|positions|in)|wte|wpe)(\.|$)"
    r"|(^|\.)((word|position|token_type|patch|tok|pos)_)?embed(ding)?s?(\.|$)"
    r"|(^|\.)(cls|class|reg|dist|mask)_token$"
)
"""Names of what stands before the first layer in the models people use."""
TAIL = r"(^|\.)(LayerNorm|(final_)?layer_?norm|norm|ln|ln_f|ln_post|rel_embeddings)(\.|$)"
"""Names of what belongs to the last layer: the final norm, DeBERTa's relative positions."""
HEAD = r"^(\w+\.)?(heads?|lm_head|cls|classifier|score|fc|pooler|qa_outputs|regressor|output)(\.|$)"
"""Names of heads: at the top of the model or one below it, never inside a layer."""
NO_MATRIX = rf"{STEM}|{HEAD}|(^|\.)rel_embeddings\."
"""Names of two-dimensional parameters that Muon is not for: tables and heads."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _captures(pattern: str) -> str:
    if re.compile(pattern).groups == 0:
        raise ValueError(r"a regular expression with the layer's number in parentheses, as (\d+)")
    return pattern


def _leaves_lr_out(args: Args) -> Args:
    if "lr" in args:
        raise ValueError("arguments without lr, which has a key of its own beside args")
    return args


Pattern = Annotated[str, AfterValidator(_compiles)]
LayerPattern = Annotated[Pattern, AfterValidator(_captures)]
OptimizerArgs = Annotated[Args, AfterValidator(_leaves_lr_out)]


class OptimizerSpec(Section):
    """Who applies the gradients."""

    name: str = Field(default="AdamW", description="a class of torch.optim, or module:Class")
    lr: float | None = Field(
        default=None, gt=0, description="the LR that the schedule moves; the class's own by default"
    )
    args: OptimizerArgs = Field(default_factory=dict, description="its other keyword arguments")


class GroupSpec(Section):
    """A rule: a group of the parameters whose name the regular expression finds.

    What no entry of `groups` takes is the group `default`.
    """

    name: Name
    match: Pattern = Field(description="regular expression, searched in the parameter's name")
    lr: float | None = Field(default=None, gt=0, description="an LR of its own")
    lr_scale: float = Field(default=1.0, gt=0, description="or a multiple of the schedule's")
    args: OptimizerArgs = Field(
        default_factory=dict, description="optimizer arguments of this group, e.g. weight_decay"
    )
    optimizer: OptimizerSpec | None = Field(
        default=None, description="an optimizer of its own; by default the run's"
    )
    schedule: ScheduleSpec | None = Field(
        default=None, description="a schedule of its own; by default the run's"
    )


class HeadPreset(Section):
    """The group `head`: what a fine-tuning run trains from scratch, at an LR of its own."""

    preset: Literal["head"]
    match: Pattern = Field(default=HEAD, description="regular expression of its names")
    lr: float = Field(default=1e-4, gt=0, description="its LR")
    args: OptimizerArgs = Field(default_factory=dict, description="optimizer arguments of the head")
    schedule: ScheduleSpec | None = Field(
        default=None, description="a schedule of its own; by default the run's"
    )


class Layered(Section):
    """How a preset finds out which layer a parameter is in."""

    layers: LayerPattern | None = Field(
        default=None,
        description="regular expression that captures a layer's number in a parameter's name; "
        "by default the first number after layer, layers, block, blocks, stage, stages, features "
        "or h, which must count one stack of layers only",
    )
    stem: Pattern = Field(default=STEM, description="names that stand before the first layer")
    tail: Pattern = Field(default=TAIL, description="names that belong to the last layer")


class LayerDecayPreset(Layered):
    """Groups `layer_0`, `layer_1`, ...: the deeper, the nearer to the full LR.

    lr_scale = max(min_scale, decay ** (last - i)): timm's param_groups_layer_decay. Layer 0 is the
    stem; what is neither stem, nor in a layer, nor tail is the head, the last layer of all.
    """

    preset: Literal["layer_decay"]
    decay: float = Field(default=0.75, gt=0, le=1, description="ratio of one layer to the next")
    min_scale: float = Field(default=0.0, ge=0, le=1, description="smallest lr_scale")


class Tier(Section):
    """A run of layers with one LR: from its first layer to the next tier's."""

    name: Name
    first_layer: int = Field(ge=0, description="number of its first layer")
    lr_scale: float = Field(default=1.0, gt=0, description="multiple of the schedule's LR")


def _is_not_empty(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """Raise where there are none; pydantic's own `min_length` complains of broken ones too."""
    if not tiers:
        raise ValueError("at least one tier")
    return tiers


class TiersPreset(Layered):
    """A group per run of layers; by default those of the DeBERTa-v3-large recipe.

    The stem belongs to the first tier, the tail to the last. Every other parameter must be taken
    by another entry: none of them falls into `default` unseen.
    """

    preset: Literal["tiers"]
    tiers: Annotated[tuple[Tier, ...], AfterValidator(_is_not_empty)] = Field(
        default=(
            Tier(name="low", first_layer=0, lr_scale=0.4),
            Tier(name="middle", first_layer=12),
            Tier(name="high", first_layer=20, lr_scale=2.0),
        ),
        description="at least one, in ascending order",
        json_schema_extra={"minItems": 1},
    )


class Modifier(Section):
    """A preset that changes how some parameters are stepped, wherever they were placed."""

    groups: tuple[Name, ...] = Field(
        default=(), description="only in these groups of other entries; by default in all"
    )


class NoDecayPreset(Modifier):
    """No weight decay for biases and one-dimensional tensors: `<group>.no_decay`."""

    preset: Literal["no_decay_1d"]
    also: Pattern | None = Field(
        default=None, description="regular expression of other names without decay"
    )


class MuonPreset(Modifier):
    """Muon (torch.optim.Muon) for the matrices, `<group>.muon`; the run's optimizer for the rest.

    Groups that have an optimizer of their own keep it.
    """

    preset: Literal["muon_2d"]
    lr: float | None = Field(default=None, gt=0, description="Muon's LR; its own by default")
    args: OptimizerArgs = Field(default_factory=dict, description="Muon's other keyword arguments")
    exclude: Pattern | None = Field(
        default=NO_MATRIX,
        description="names of two-dimensional parameters that are left to the run's optimizer; by "
        "default embeddings and heads",
    )

    @property
    def optimizer(self) -> OptimizerSpec:
        """The optimizer that it gives to matrices."""
        return OptimizerSpec(name="Muon", lr=self.lr, args=self.args)


RULE = "rule"
ENTRIES: Mapping[str, type[Section]] = {
    RULE: GroupSpec,
    "layer_decay": LayerDecayPreset,
    "tiers": TiersPreset,
    "head": HeadPreset,
    "no_decay_1d": NoDecayPreset,
    "muon_2d": MuonPreset,
}
"""The kinds of entry, by preset; pydantic puts the kind into the location of an error."""
PRESETS = tuple(kind for kind in ENTRIES if kind != RULE)


def _kind(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry["preset"]) if "preset" in entry else RULE
    return getattr(entry, "preset", RULE)


GroupEntry = Annotated[
    Annotated[GroupSpec, Tag(RULE)]
    | Annotated[LayerDecayPreset, Tag("layer_decay")]
    | Annotated[TiersPreset, Tag("tiers")]
    | Annotated[HeadPreset, Tag("head")]
    | Annotated[NoDecayPreset, Tag("no_decay_1d")]
    | Annotated[MuonPreset, Tag("muon_2d")],
    Discriminator(_kind),
]
GROUP_ENTRY: TypeAdapter[GroupEntry] = TypeAdapter(GroupEntry)
"""Reads one entry by itself."""
