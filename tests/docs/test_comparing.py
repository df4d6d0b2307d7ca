import pytest
from tests.docs.comparing import agrees

SHOWN = "Acts from step 12 on, as revision 1.\ngroup    old    new\ndefault  0.1  5e-02\n"


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (SHOWN, SHOWN.replace("12", "3456").replace("0.1", "0.00123").replace("5e-02", "1e-5")),
        (SHOWN, SHOWN.replace("   ", " ")),
        (
            "1  5  ada@vm  scale 0.5  2026-11-23 22:49:42",
            "2 6 root@ci-7 scale 3 2027-01-01 00:00:00",
        ),
        ("first\n...\nlast", "first\nand\nmore\nlast"),
        ("first\n...", "first"),
        ("member at ... of it", "member at some place of it"),
        ("867 steps/s  9.3 s left", "1,200 steps/s 11 s left"),
        ("23s", "1s"),
    ],
    ids=["figures", "widths", "names and times", "lines", "no lines", "words", "units", "age"],
)
def test_figures_times_names_and_what_is_left_out_may_differ(shown, printed):
    assert agrees(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (SHOWN, SHOWN.replace("revision", "version")),
        (SHOWN, SHOWN + "Bent by max_lr.\n"),
        ("first\nlast", "first\nand more\nlast"),
        ("max_lr", "min_lr"),
        ("0.5 left", "left"),
    ],
    ids=["a word", "a line more", "a line between", "a name", "a figure less"],
)
def test_words_may_not_differ(shown, printed):
    assert not agrees(shown, printed)
