"""Somebody who keeps changing a run's LR, and asks again when the answer is lost."""

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import msgspec
from tests.crash.daemons import PATIENCE_SECONDS, Daemon
from tests.crash.evidence import Answers
from tests.crash.plan import Errand, Return, Wish

from rheostat.client import Client
from rheostat.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    ResourceExhausted,
    RevisionConflict,
    RheostatError,
    StorageFailed,
)
from rheostat.steering.records import Change, Decision

T = TypeVar("T")
_ANSWER_SECONDS = 5.0
_REFUSALS = (InvalidRequest, FailedPrecondition, RevisionConflict, ResourceExhausted)


class Operator:
    """Asks for a run's changes, one after the other; those that wait for their step beside."""

    def __init__(self, daemon: Daemon, run: str, wishes: Sequence[Wish]) -> None:
        self.answers = Answers()
        self.has_asked = threading.Event()
        self.has_answer = threading.Event()
        self._daemon = daemon
        self._run_name = run
        self._wishes = wishes
        self._is_over = threading.Event()
        self._clients = threading.local()
        self._thread = threading.Thread(target=self._work, name=f"operator of {run}", daemon=True)
        self._thread.start()

    def finish(self) -> Answers:
        """Ask for nothing new, wait for what is asked, and return what became of everything."""
        self._is_over.set()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"requests to {self._run_name} are not answered")
        return self.answers

    def _work(self) -> None:
        with ThreadPoolExecutor(max_workers=50) as pool:
            for wish in self._wishes:
                if self._is_over.wait(wish.pause):
                    return
                what = wish.what
                if isinstance(what, Errand):
                    pool.submit(self._try, self._run, what)
                    continue
                if isinstance(what, Return):
                    self._try(self._ask, what)
                    continue
                if wish.is_careful:
                    seen = [one.revision for one in [*self.answers.decided.values()]]
                    what = msgspec.structs.replace(what, expected_revision=max(seen, default=0))
                if what.at_step is None:
                    self._try(self._ask, what)
                else:
                    pool.submit(self._try, self._ask, what)

    def _try(self, do: Callable[[T], None], what: T) -> None:
        """Do something in a thread, whose errors nobody would hear of."""
        try:
            do(what)
        except Exception as error:
            self.answers.failed.append(f"{what} was not answered: {type(error).__name__}: {error}")

    def _ask(self, wish: Change | Return) -> None:
        """Ask until there is an answer, whatever it is."""
        while True:
            self.has_asked.set()
            self.answers.tries += 1
            try:
                decision = self._answer_to(wish)
                assert decision is not None
                self.answers.decided[wish.request_id] = decision
                self.has_answer.set()
                return
            except _REFUSALS as error:
                if "it has not started" in str(error):
                    time.sleep(0.3)  # put by, until the next daemon goes on with it
                    continue
                self.answers.refused[wish.request_id] = str(error)
                if "it has ended" in str(error):
                    self._is_over.set()
                return
            except DeadlineExceeded:
                pass
            except RheostatError:
                self._hang_up()
                time.sleep(0.02)

    def _answer_to(self, wish: Change | Return) -> Decision | None:
        run, client = self._run_name, self._client()
        if isinstance(wish, Return):
            terms = dataclasses.asdict(wish)
            return client.roll_back_run(run, timeout=_ANSWER_SECONDS, **terms).decision
        return client.change_learning_rate(run, wish, timeout=_ANSWER_SECONDS).decision

    def _run(self, errand: Errand) -> None:
        """Have an errand run, again and again until it is."""
        calls = {
            Errand.PAUSE: (Client.pause_run, Client.resume_run),
            Errand.SAVE: (Client.save_checkpoint,),
            Errand.EVALUATE: (Client.evaluate_run,),
        }[errand]
        for call in calls:
            while not self._is_done(call):
                time.sleep(0.05)

    def _is_done(self, call: Callable[..., object]) -> bool:
        try:
            if self._client().get_run(self._run_name).phase.is_final:
                return True
            call(self._client(), self._run_name)
        except FailedPrecondition:
            return False  # it starts, or waits for the next daemon
        except StorageFailed as error:
            if "has come to its end" not in str(error):
                self.answers.failed.append(str(error))
            return True
        except DeadlineExceeded:
            return False
        except RheostatError:
            self._hang_up()
            return False
        return True

    def _client(self) -> Client:
        known: Client | None = getattr(self._clients, "client", None)
        if known is None:
            known = self._clients.client = self._daemon.client()
        return known

    def _hang_up(self) -> None:
        known = self._clients.__dict__.pop("client", None)
        if known is not None:
            with suppress(Exception):
                known.close()
