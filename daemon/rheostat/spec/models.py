"""The spec: what a run trains, with which LR policy, under which guardrails.

A description of the job and nothing else; where things run and who may touch them is the daemon's
business. Every model forbids unknown keys. `name` of model, data, optimizer, schedule and policy is
a built-in, an installed entry point, or `package.module:attribute`; `args` keep the names that the
library they come from gives them, and count in optimizer steps. Rules between fields stand in
`rules.py`: a model cannot report them beside other mistakes.
"""

from typing import Annotated, Literal

from pydantic import Field

from rheostat.spec.groups import GroupEntry, OptimizerSpec, Pattern
from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.section import Args, Name, Section


class ModelSpec(Section):
    """What is trained."""

    name: str = Field(
        default="mlp",
        description="mlp, lenet5, resnet18, gpt, hugging_face, torchvision:<builder>, an entry "
        "point of rheostat.models, or package.module:factory",
    )
    args: Args = Field(default_factory=dict, description="keyword arguments of the factory")


class AugmentSpec(Section):
    """How images are changed at random before a step learns from them; never in a validation."""

    crop: int | None = Field(
        default=None,
        ge=1,
        description="pixels of the images' mean that are put around each before a piece of its "
        "own size is cut out of it",
    )
    flip: bool = Field(default=False, description="mirror half of them, left to right")


class DataSpec(Section):
    """What it is trained on."""

    name: str = Field(
        default="digits",
        description="digits, mnist, fashion_mnist, cifar10, image_folder, text, an entry point of "
        "rheostat.datasets, or package.module:factory",
    )
    root: str | None = Field(
        default=None, description="folder of the files; nothing is ever downloaded"
    )
    batch_size: int = Field(default=64, ge=1, description="samples of one optimizer step")
    validation: Annotated[float, Field(gt=0, lt=1)] | Literal["test"] | None = Field(
        default=None,
        description="share of the training set kept for validation (split by class, the same in "
        "every run), or `test` for the set's own test split; by default what the set says",
    )
    augment: AugmentSpec = Field(
        default_factory=AugmentSpec, description="random changes of training images"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="processes that fetch samples of a set too large for memory; by default one "
        "less than there are processors, at most 4",
    )
    prefetch: int = Field(
        default=2, ge=1, le=1000, description="batches that each of them fetches beforehand"
    )
    args: Args = Field(default_factory=dict, description="keyword arguments of the data set")


class PolicySpec(Section):
    """A policy that runs inside the trainer and owns one factor per group."""

    name: str = Field(
        description="loss_spike, plateau, greedy, adalrs, hypergradient, kl_band, noise_scale, "
        "rules, learned, an entry point of rheostat.policies, or package.module:Class"
    )
    args: Args = Field(default_factory=dict)
    shadow: bool = Field(
        default=False, description="decide without effect: shown in metrics, not applied"
    )


class WindowSpec(Section):
    """How far an LR may move within some steps."""

    ratio: float = Field(
        gt=1, description="most that LR / schedule may grow or shrink, as a factor"
    )
    steps: int = Field(ge=1, description="length of the window in optimizer steps")


class BoundsSpec(Section):
    """What may reach the optimizer for one group, whoever asks; the rules act in this order."""

    min_lr: float | None = Field(default=None, ge=0, description="smallest LR, 0 by default")
    max_lr: float | None = Field(
        default=None,
        gt=0,
        description="largest LR; by default 100 times the highest that the group's schedule "
        "reaches by itself",
    )
    min_ratio_to_base: float | None = Field(
        default=None, gt=0, le=1, description="smallest LR, as a multiple of the schedule's"
    )
    max_ratio_to_base: float | None = Field(
        default=None, ge=1, description="largest LR, as a multiple of the schedule's"
    )
    max_ratio_per_step: float | None = Field(
        default=None,
        gt=1,
        description="most that LR / schedule may grow or shrink from one step to the next, "
        "as a factor; the schedule's own movement is never bent; unlimited by default",
    )
    max_ratio_per_window: WindowSpec | None = Field(
        default=None, description="the same over a window of steps"
    )
    max_drift: float | None = Field(
        default=None,
        gt=1,
        description="bound of the geometric mean of LR / schedule since the start, as a factor: "
        "a policy that only ever raises is stopped though each raise is small",
    )
    cool_down_steps: int | None = Field(
        default=None,
        ge=0,
        description="steps after a change in which no operator or policy may change the group "
        "again; a release always may",
    )


class GuardrailsSpec(BoundsSpec):
    """The bounds of every group, and how often operators may ask."""

    max_changes_per_minute: int | None = Field(
        default=None, ge=1, description="operators' changes per minute; a release always may"
    )
    groups: dict[str, BoundsSpec] = Field(
        default_factory=dict, description="other bounds for some groups, by name"
    )

    def of(self, group: str) -> BoundsSpec:
        """Return the bounds of a group: the common ones, with what the spec says otherwise."""
        own = self.groups.get(group)
        if own is None:
            return self
        # What the spec leaves out is None, and stays so when the spec is written down and read.
        said = {name: getattr(own, name) for name in BoundsSpec.model_fields}
        return self.model_copy(update={name: one for name, one in said.items() if one is not None})


class TrainSpec(Section):
    """How long and how."""

    steps: int | None = Field(default=None, ge=1, description="optimizer steps")
    epochs: float | None = Field(default=None, gt=0, description="or passes over the data")
    seed: int = Field(default=0, ge=0, lt=2**63, description="two runs with one seed are identical")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="auto takes CUDA, else MPS, else the CPU"
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="processes of a machine that train the run together, each its share of "
        "every batch; on GPUs one for each",
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="machines that train it together, the daemon's and those that run "
        "`rheostat agent`",
    )
    min_nodes: int | None = Field(
        default=None,
        ge=1,
        description="as few machines as the run goes on with where others are missing; by "
        "default all",
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="how they share the model: ddp keeps a whole copy in each and averages the "
        "gradients; fsdp keeps a part of each parameter and of its optimizer state",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of one operation; by default 1 for a model of less than a "
        "million parameters, whose operations are too short to share, else what torch chooses",
    )
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        default="float32",
        description="tf32 rounds the inputs of products on CUDA devices; bfloat16 and float16 are "
        "autocast, float16 with a loss scale that adapts; weights are float32 in all of them",
    )
    compile: bool | Literal["default", "reduce-overhead", "max-autotune"] = Field(
        default=False,
        description="compile the model with torch.compile, in one of its modes (true is default), "
        "and where it can, the optimizer's step",
    )
    channels_last: bool = Field(
        default=False,
        description="keep images and convolutions in memory channel by channel of each pixel, "
        "which most convolutions prefer on a GPU and in bfloat16",
    )
    activation_checkpointing: tuple[Pattern, ...] = Field(
        default=(),
        description="regular expressions, searched in the names of the model's modules: the "
        "outermost ones found forget their activations and compute them again in the backward "
        "pass, which saves memory for time",
    )
    grad_clip: float | None = Field(default=None, gt=0, description="largest total gradient norm")
    accumulate: int = Field(
        default=1, ge=1, description="micro-batches that one optimizer step is split into"
    )
    loss: str = Field(
        default="cross_entropy",
        description="a function of torch.nn.functional, or package.module:function, of "
        "(outputs, targets)",
    )
    gradient_norm_every: int = Field(
        default=100, ge=0, description="steps between two measured gradient norms; 0 is never"
    )
    telemetry_lag: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="steps after which the host reads what a step has measured, so that it never "
        "waits for the device; policies see that step's data then; by default 2 on CUDA devices "
        "where the optimizer can leave an update out by itself, else 0",
    )


class EvaluateSpec(Section):
    """When the validation set is looked at; at the end of the run always."""

    every: int | None = Field(
        default=None, ge=1, description="optimizer steps between two; by default one epoch"
    )


DEFAULT_CHECKPOINT_SECONDS = 60.0


class SnapshotsSpec(Section):
    """States kept in memory between checkpoints, for the run to go back to.

    Each takes as much memory of the host as a checkpoint takes on the disk.
    """

    every: int = Field(ge=1, description="optimizer steps between two")
    keep: int = Field(default=4, ge=1, description="number of newest ones that are kept")


class CheckpointSpec(Section):
    """When the whole state of the run is kept on disk, beside each time it is paused or stopped."""

    every: int | None = Field(
        default=None, ge=1, description="optimizer steps between two checkpoints"
    )
    every_seconds: float | None = Field(
        default=None,
        ge=0,
        description="seconds between two; by default 60 where `every` is not given; 0 is never",
    )
    keep: int = Field(default=2, ge=1, description="number of newest ones that are kept")
    keep_best: int = Field(
        default=1,
        ge=0,
        description="number of those with the lowest validation loss that are kept too; one is "
        "taken after a validation that is the best so far, but no sooner than 10 s after another",
    )
    snapshots: SnapshotsSpec | None = Field(
        default=None,
        description="states in memory that the run can go back to as well; none by default",
    )

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints; None where the clock takes none."""
        if self.every_seconds is None:
            return DEFAULT_CHECKPOINT_SECONDS if self.every is None else None
        return self.every_seconds or None


class Spec(Section):
    """A whole run."""

    name: Name = Field(default="run", description="what the run is called; made unique with -2, -3")
    model: ModelSpec = Field(default_factory=ModelSpec)
    data: DataSpec = Field(default_factory=DataSpec)
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec)
    groups: tuple[GroupEntry, ...] = ()
    schedule: ScheduleSpec = Field(default_factory=ScheduleSpec)
    policies: tuple[PolicySpec, ...] = ()
    guardrails: GuardrailsSpec = Field(default_factory=GuardrailsSpec)
    train: TrainSpec
    evaluate: EvaluateSpec = Field(default_factory=EvaluateSpec)
    checkpoint: CheckpointSpec = Field(default_factory=CheckpointSpec)
