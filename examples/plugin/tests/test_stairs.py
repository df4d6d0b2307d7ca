import pytest
from rheostat_policies import ScheduleRun

from rheostat_spirals.schedule import stairs

RUN = ScheduleRun(lr=0.1, steps=6, steps_per_epoch=3)


def test_the_lr_goes_down_in_equal_ratios_and_stays_at_the_last():
    learning_rate = stairs(RUN, treads=3, last=0.01).learning_rate

    expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001]
    assert [learning_rate(step) for step in range(7)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("args", [{"treads": 1}, {"last": 0.0}])
def test_an_argument_out_of_range_is_refused(args):
    with pytest.raises(ValueError, match="must be"):
        stairs(RUN, **args)
