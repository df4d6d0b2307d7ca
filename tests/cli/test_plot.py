import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cli.curves import Line, curves_of


def line(values):
    return Line(np.arange(len(values), dtype=np.float64), np.array(values, dtype=np.float64))


def texts(file):
    """The words of an SVG, which matplotlib writes down beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", file.read_text())


def test_a_run_is_drawn_with_its_losses_its_rates_and_what_was_decided(rheostat, client, tmp_path):
    file = tmp_path / "digits.svg"
    done = rheostat("plot", "digits", "--output", file)

    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"digits in {file}\n"
    words = texts(file)
    assert {"digits", "loss", "learning rate", "optimizer step", "default"} <= set(words)
    assert {"train", "validation"} <= set(words)
    assert "1 step 41: alice scale 0.5 (too [noisy])" in words


def test_runs_are_drawn_over_each_other_each_under_its_name(rheostat, client, tmp_path):
    file = tmp_path / "two.svg"
    client.get_run = lambda run: msgspec.structs.replace(client.view, name=run)
    client.export_run = lambda run: iter(client.rows)
    client.list_decisions = lambda run, after_revision=0: iter([client.record])
    rheostat("plot", "one", "other", "one", "-o", file)

    words = texts(file)
    assert "one, other" in words
    assert {"one, train", "other, train", "one, default", "other, default"} <= set(words)


def test_what_is_no_picture_and_what_has_no_steps_is_refused(rheostat, client, tmp_path):
    named = rheostat("plot", "digits", "-o", tmp_path / "digits.bmp")
    client.rows = []
    empty = rheostat("plot", "digits", "-o", tmp_path / "digits.png")

    assert named.exit_code == 2
    assert "--output" in named.stderr
    assert empty.exit_code == 1
    assert "digits took no step yet" in empty.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_run_and_too_many_of_them_are_refused(rheostat, client, tmp_path):
    assert rheostat("plot", "digit", "-o", tmp_path / "a.png").exit_code == 1
    assert rheostat("plot", *map(str, range(11)), "-o", tmp_path / "a.png").exit_code == 2


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=400),
    st.integers(1, 40),
)
def test_a_thinned_line_keeps_its_ends_and_its_extremes(values, buckets):
    thin = line(values).thinned(buckets)

    assert len(thin.steps) <= max(3 * buckets + 1, 1)
    assert (np.diff(thin.steps) > 0).all()
    assert thin.steps[0] == 0
    assert thin.steps[-1] == len(values) - 1
    if not np.isnan(values).all():
        assert np.nanmax(thin.values) == np.nanmax(values)
        assert np.nanmin(thin.values) == np.nanmin(values)


@pytest.mark.parametrize(
    ("window", "expected"), [(1, [4.0, 2.0, 6.0]), (2, [4.0, 3.0, 4.0]), (9, [4.0, 3.0, 4.0])]
)
def test_an_averaged_line_looks_back_as_far_as_it_may(window, expected):
    assert line([4.0, 2.0, 6.0]).averaged(window).values.tolist() == expected


def test_curves_join_the_batches_of_a_run(client):
    curves = curves_of("digits", client.rows, [])

    assert curves.train_loss.steps.tolist() == [0, 1, 2]
    assert curves.train_loss.values.tolist() == [0.1, 1 / 3, 0.05]
    assert curves.learning_rate["default"].values.tolist() == [0.001, 0.002, 0.003]
    assert (curves.validation_loss.steps.tolist(), curves.validation_loss.values.tolist()) == (
        [2],
        [0.75],
    )
