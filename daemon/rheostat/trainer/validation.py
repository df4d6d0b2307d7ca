"""How good the model is on data it does not learn from."""

from rheostat.runs.messages import EvaluateCommand, Evaluated
from rheostat.trainer.building import Parts
from rheostat.trainer.equipment import Equipment
from rheostat.trainer.generators import undisturbed
from rheostat.trainer.modes import evaluating
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.recorder import Recorder


class Validator:
    """Looks at a run's validation set: as the spec has it, and for somebody who asks.

    Args:
        parts: of the run.
        progress: of the run; takes what is measured.
        ranks: the processes that train it.
        equipment: of the run; sees the model's outputs.
        recorder: takes what is measured.
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        ranks: Ranks,
        equipment: Equipment,
        recorder: Recorder,
    ) -> None:
        self._parts = parts
        self._ranks = ranks
        self._progress = progress
        self._equipment = equipment
        self._recorder = recorder

    def validate(self) -> None:
        """Measure the model after the steps finished, for policies, records and checkpoints."""
        parts, watch, progress = self._parts, self._equipment.predictions, self._progress
        self._equipment.collect()
        with evaluating(parts.model, parts.optimizer):
            see = None if watch.is_idle else watch.see
            loss, accuracy = self._ranks.validate(parts, see)
            watch.finish()
        progress.validation_loss, progress.validation_accuracy = loss, accuracy
        progress.validation_step = progress.step
        self._recorder.record_validation(progress.step, loss, accuracy)

    def answer(self, command: EvaluateCommand) -> Evaluated:
        """Measure it for somebody who asked, so that the run does not notice."""
        parts = self._parts
        with undisturbed(parts.device), evaluating(parts.model, parts.optimizer):
            loss, accuracy = self._ranks.validate(parts)
        return Evaluated(
            command_id=command.command_id,
            step=self._progress.step,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )
