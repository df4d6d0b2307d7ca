"""The other ranks' side: they do what rank 0 does, when it says so."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts, seed_everything
from rheostat.trainer.checkpoints.forms import forms_of
from rheostat.trainer.checkpoints.gathering import model_tensors
from rheostat.trainer.checkpoints.trees import flatten
from rheostat.trainer.compiling import is_compiled
from rheostat.trainer.data.ordering import derive_seed
from rheostat.trainer.distributed.digest import Digest
from rheostat.trainer.distributed.folders import try_folder
from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.distributed.spreading import receive
from rheostat.trainer.distributed.validating import validate_together
from rheostat.trainer.distributed.words import ERRANDS, Op, Word
from rheostat.trainer.distributed.writing import PartKeeper
from rheostat.trainer.generators import remember_generators, undisturbed
from rheostat.trainer.learning import Learner, NonFiniteLoss
from rheostat.trainer.modes import evaluating, evaluation_mode, train_mode
from rheostat.trainer.parallel import Parallel
from rheostat.trainer.sharding import whole_of
from rheostat.trainer.snapshot import Snapshot
from rheostat.trainer.tallying import tally


class Follower:
    """A rank that decides nothing.

    It waits for a word only between two steps, where nothing is under way that rank 0 would have to
    take part in.

    Args:
        gang: how rank 0 is heard.
        parts: of the run, as this rank has built them; nobody steers here.
        parallel: how the ranks work on the model.
    """

    def __init__(self, gang: Gang, parts: Parts, parallel: Parallel) -> None:
        self._gang = gang
        self._parts = parts
        self._parallel = parallel
        self._digest = Digest(parts.optimizer)
        self._learner: Learner | None = None
        self._snapshot: Snapshot | None = None
        self._keeper: PartKeeper | None = None
        if parallel.is_sharded and (folder := try_folder(gang)) is not None:
            self._keeper = PartKeeper(parts, folder, gang.open_group())
        self._equip_actuator()
        # What the ranks draw must not be the same: each drops out other units.
        seed_everything(derive_seed(parts.spec.train.seed, 2, gang.rank))

    def follow(self) -> None:
        """Do as is said until dismissed."""
        groups = len(self._parts.groups)
        while (word := self._gang.hear(groups)).op is not Op.DISMISS:
            self._carry_out(word)
        if self._keeper is not None:
            self._keeper.finish()

    def _carry_out(self, word: Word) -> None:
        match word.op:
            case Op.STEP:
                self._snapshot = None
                self._take_step(word)
            case Op.TRIAL:
                self._take_trial_step(word)
            case Op.EQUIP:
                self._equip()
            case Op.VALIDATE:
                self._validate()
            case Op.KEEP:
                self._write(word)
                self._snapshot = Snapshot(self._parts)
            case Op.PUT_BACK:
                assert self._snapshot is not None
                self._snapshot.restore()
                self._write(word)
            case Op.RESTORE:
                forms = None if self._keeper is None else forms_of(self._parts)
                receive(self._gang, self._parts, forms)
                self._equip_actuator()
                if self._learner is not None:
                    self._equip()
            case Op.REMEMBER:
                memory = remember_generators(self._parts.device)
                self._gang.collect((self._digest.told(), memory))
                self._digest.steps = 0
            case Op.COLLECT:
                optimizer: dict[str, Tensor] = {}
                flatten(self._parts.optimizer.state_dict(), "optimizer", optimizer)
                _bring((model_tensors(self._parts.model), optimizer))
            case Op.SHOW:
                evaluation_mode(self._parts.model, self._parts.optimizer)
                _bring([model_tensors(self._parts.model)])
            case errand if errand in ERRANDS:
                assert self._keeper is not None
                self._keeper.do(ERRANDS[errand], word.index)

    def _equip_actuator(self) -> None:
        parts = self._parts
        compiles = parts.spec.train.compile and is_compiled(parts.optimizer)
        self._actuator = Actuator(parts.optimizer, is_compiled=compiles, momenta=parts.momenta)

    def _equip(self) -> None:
        parts = self._parts
        self._learner = Learner(
            parts.model,
            parts.loss,
            parts.optimizer,
            parts.spec.train,
            parts.device,
            precision=parts.precision,
            is_masked=parts.lag > 0,
            parallel=self._parallel,
        )
        train_mode(parts.model, parts.optimizer)

    def _write(self, word: Word) -> None:
        self._actuator.write(word.learning_rates)
        self._actuator.write_momenta(word.momenta)

    def _take_step(self, word: Word) -> None:
        assert self._learner is not None
        if word.checks:
            self._digest.check(self._gang)
        self._write(word)
        self._digest.note(word.index, word.learning_rates)
        inputs, targets = self._parts.batches.batch(word.index)
        if self._parts.lag > 0 and word.op is Op.STEP:
            self._learner.begin(inputs, targets, word.measures_norm)
            return
        try:
            self._learner.learn(word.index, inputs, targets, word.measures_norm)
        except NonFiniteLoss:
            # Rank 0 has the same loss, and says what becomes of the run.
            return

    def _take_trial_step(self, word: Word) -> None:
        try:
            self._take_step(word)
        except Exception as error:
            # What breaks an optimizer here breaks it everywhere. A rank that is gone is noticed
            # when the next word does not come.
            print(f"rank {self._gang.rank}: a trial ended: {error!r}", flush=True)

    def _validate(self) -> None:
        parts = self._parts
        with undisturbed(parts.device), evaluating(parts.model, parts.optimizer):
            if self._parallel.is_sharded:
                tally(parts.model, parts.loss, parts.validation)
            else:
                validate_together(self._gang, parts)


def _bring(tensors: Iterable[Mapping[str, Tensor]]) -> None:
    """Take part in bringing tensors together, in the order in which rank 0 asks for them."""
    for named in tensors:
        for one in named.values():
            whole_of(one)
