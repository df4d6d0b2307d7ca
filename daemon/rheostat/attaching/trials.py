"""Steps of the script's loop that are none of the run: each LR from one state, and back to it."""

from pathlib import Path

import torch

from rheostat.attaching.company import Company
from rheostat.attaching.probing import ENDED, ScriptProber, Verdict
from rheostat.attaching.saving import InFolder, try_to_save
from rheostat.trainer.generators import recall_generators, remember_generators


class Trials:
    """One probe, in every process of a script.

    Args:
        folder: for what the script is brought back to.
        save: writes that.
        restore: reads it.
        company: the processes of the script; None where this is the only one.
        prober: decides; None where another process does.
        device: where the script trains.
    """

    def __init__(
        self,
        folder: Path,
        save: InFolder,
        restore: InFolder,
        *,
        company: Company | None,
        prober: ScriptProber | None,
        device: torch.device,
    ) -> None:
        self._folder = folder
        self._save, self._restore = save, restore
        self._company = company
        self._prober = prober
        self._device = device
        self._generators = remember_generators(device)

    def begin(self) -> bool:
        """Have the script saved; return whether that has worked, in every process."""
        problem = try_to_save(self._save, self._folder)
        if self._company is not None:
            problem = next(filter(None, self._company.gather(problem)), "")
        if problem and self._prober is not None:
            self._prober.finish(problem)
        return not problem

    def rates(self, own: list[float]) -> list[float]:
        """Return the LRs of the step about to be tried, the same in every process.

        Args:
            own: what the script wants them to be, one per group.
        """
        rates = None if self._prober is None else self._prober.rates(own)
        if self._company is not None:
            rates, _ = self._company.share(rates, 0)
        assert rates is not None  # a process that does not decide is in company
        return rates

    def miss(self) -> None:
        """Take note of a step after which nobody has called `run.step`."""
        if self._prober is not None:
            self._prober.miss()

    def end_step(self, loss: float | None) -> bool:
        """Bring the script back where its trial has ended; return whether another step is tried.

        Args:
            loss: of the step; None where the script has not told it.
        """
        verdict = None if self._prober is None else self._prober.judge(loss)
        if self._company is not None:
            verdict = self._company.hear(verdict)
        if verdict == Verdict.GO_ON:
            return True
        self._go_back()
        if verdict == Verdict.NEXT:
            return True
        if self._company is not None:
            self._company.hear(None)  # the others have read it too
        if self._prober is not None:
            self._prober.finish()
        return False

    def give_up(self, *, goes_back: bool) -> None:
        """End the probe because the script ends.

        Args:
            goes_back: whether to bring the script back first.
        """
        try:
            if goes_back:
                self._go_back()
        finally:
            if self._prober is not None:
                self._prober.finish(ENDED)

    def _go_back(self) -> None:
        self._restore(self._folder)
        recall_generators(self._generators)
