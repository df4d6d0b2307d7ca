"""What every process of a script does between two steps: it is saved, goes back, or tries LRs."""

import time

import torch

from rheostat.attaching.company import Company
from rheostat.attaching.orders import Orders
from rheostat.attaching.saving import Errand, InFolder, try_to_save
from rheostat.attaching.trials import Trials
from rheostat.trainer.progress import Progress


class Errands:
    """Does what the process asks for that talks to the daemon, all of them together.

    Args:
        progress: of the run.
        save: writes what the script is into a folder; None where it has not said how.
        restore: brings it back.
        company: the processes of the script; None where this is the only one.
        orders: what is asked for; None where another process knows.
        device: where the script trains.
    """

    def __init__(
        self,
        progress: Progress,
        save: InFolder | None,
        restore: InFolder | None,
        *,
        company: Company | None,
        orders: Orders | None,
        device: torch.device,
    ) -> None:
        self._progress = progress
        self._save, self._restore = save, restore
        self._company = company
        self._orders = orders
        self._device = device
        self.trials: Trials | None = None
        """The probe whose steps the script takes now; None while it takes the run's."""

    def run(self) -> None:
        """Do all that is asked for, until a probe begins."""
        orders = self._orders
        asked = iter(()) if orders is None else orders.errands()
        while (errand := self._heard(next(asked, None))) is not None:
            assert self._save is not None
            assert self._restore is not None
            if errand.is_probe:
                trials = Trials(
                    errand.folder,
                    self._save,
                    self._restore,
                    company=self._company,
                    prober=None if orders is None else orders.prober,
                    device=self._device,
                )
                if trials.begin():
                    self.trials = trials
                    return
            elif errand.back_to is not None:
                self._restore(errand.folder)
                self._progress.step = errand.back_to
            else:
                self._take_checkpoint(errand, self._save)

    def end_trial_step(self, loss: float | None) -> None:
        """Take the loss of a step that was tried."""
        assert self.trials is not None
        if not self.trials.end_step(loss):
            self.trials = None

    def end(self, error: BaseException | None) -> None:
        """Bring a script back that ends while it tries something.

        Args:
            error: what ends it. Of several processes one alone may have failed, and the others wait
                for it elsewhere; so these are left as they are.
        """
        trials, self.trials = self.trials, None
        if trials is not None:
            trials.give_up(goes_back=error is None or self._company is None)

    def _take_checkpoint(self, errand: Errand, save: InFolder) -> None:
        began = time.perf_counter()
        problem = try_to_save(save, errand.folder)
        self._heard(None)  # the others have written too
        if self._orders is not None:
            self._orders.seal(errand, problem, began)

    def _heard(self, errand: Errand | None) -> Errand | None:
        if self._company is None:
            return errand
        heard: Errand | None = self._company.hear(errand)
        return heard
