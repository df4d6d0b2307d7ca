"""What a run has come to, as its loop measures it."""

import msgspec


class Progress(msgspec.Struct, kw_only=True):
    """The newest measurements; changed in place."""

    step: int = 0
    """Number of finished steps, and so the index of the next."""
    train_loss: float | None = None
    """Loss of the last finished step."""
    gradient_norm: float | None = None
    """The newest measured total gradient norm, before clipping."""
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_step: int | None = None
    """Number of finished steps at the newest validation."""
