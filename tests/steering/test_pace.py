"""How often operators may ask, whatever the clock does."""

from rheostat.steering.pace import Pace


def test_a_minute_after_the_oldest_there_is_room_again() -> None:
    pace = Pace(2)
    pace.note(100.0)
    pace.note(130.0)

    assert pace.wait(131.0) == 29.0
    assert pace.wait(160.0) == 0.0


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    pace = Pace(2)
    pace.note(100_000.0)
    pace.note(100_030.0)

    assert pace.wait(5_000.0) == 30.0, "as at the moment of the newest"
    assert pace.wait(5_030.0) == 0.0
