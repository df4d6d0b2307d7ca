"""What a run has come to, as its loop measures it."""

import msgspec

from rheostat.trainer.ring import Reading


class Progress(msgspec.Struct, kw_only=True):
    """The newest measurements; changed in place."""

    step: int = 0
    """Number of finished steps, and so the index of the next."""
    train_loss: float | None = None
    """Loss of the newest step that policies may know of."""
    train_step: int | None = None
    """That step: the last finished one, or as much earlier as the telemetry lags."""
    gradient_norm: float | None = None
    """The newest measured total gradient norm, before clipping."""
    gradient_norm_step: int | None = None
    """The step that it is of."""
    loss_scale: float | None = None
    """What float16 multiplied that step's loss by; None in other precisions."""
    skipped_updates: int = 0
    """Updates left out because that was too large for the step."""
    awaited: list[Reading] = []
    """Readings that are on the host and that policies do not know of yet, oldest first."""
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_step: int | None = None
    """Number of finished steps at the newest validation."""
