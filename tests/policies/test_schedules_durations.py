"""A duration in any unit is a whole number of optimizer steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import SCHEDULES, ScheduleRun
from rheostat_policies.schedules import duration

RUN = ScheduleRun(lr=0.1, steps=1000, steps_per_epoch=50, batch_size=32)


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        (0, 0),
        (70, 70),
        ("70", 70),
        ("70st", 70),
        ("70 st", 70),
        ("1e2st", 100),
        ("10ep", 500),
        (".5ep", 25),
        ("2.5ep", 125),
        ("3200sa", 100),
        ("1dur", 1000),
        ("0.1dur", 100),
        ("0.0014dur", 1),
        ("0.0015dur", 2),
    ],
)
def test_every_unit_is_counted_in_optimizer_steps(value: int | str, steps: int) -> None:
    assert duration(value, RUN) == steps


@given(st.integers(0, 10**12))
def test_a_number_without_a_unit_is_steps(steps: int) -> None:
    assert duration(steps, RUN) == duration(str(steps), RUN) == duration(f"{steps}st", RUN) == steps


@pytest.mark.parametrize("value", ["", "ep", "10 epochs", "-1ep", "1,5ep", "0x10", "nan", "infst"])
def test_text_that_is_no_duration_is_refused_with_the_units_that_are(value: str) -> None:
    with pytest.raises(ValueError, match=f"^warmup={value} must be .*10ep"):
        duration(value, RUN, "warmup")


@pytest.mark.parametrize("value", [-1, "0.4st", "0.001ep"])
def test_too_few_steps_are_refused(value: int | str) -> None:
    with pytest.raises(ValueError, match=f"^step_size={value} must be at least 1 optimizer"):
        duration(value, RUN, "step_size", least=1)


@given(epochs=st.integers(0, 9), per_epoch=st.integers(1, 99))
def test_a_schedule_takes_epochs_wherever_it_takes_steps(epochs: int, per_epoch: int) -> None:
    run = ScheduleRun(lr=0.1, steps=1000, steps_per_epoch=per_epoch)

    in_epochs = SCHEDULES["linear"](run, num_warmup_steps=f"{epochs}ep")
    in_steps = SCHEDULES["linear"](run, num_warmup_steps=epochs * per_epoch)

    for step in range(0, 1100, 7):
        assert in_epochs.learning_rate(step) == in_steps.learning_rate(step)
