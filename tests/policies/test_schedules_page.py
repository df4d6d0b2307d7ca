"""docs/schedules.md shows every schedule, and is drawn from what they say themselves."""

import subprocess
import sys
from pathlib import Path

from rheostat_policies import SCHEDULES

ROOT = Path(__file__).parents[2]


def test_the_page_and_its_pictures_are_what_the_schedules_say() -> None:
    command = [sys.executable, "tools/draw_schedules.py", "--check"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_schedule_has_an_entry_and_a_picture() -> None:
    page = (ROOT / "docs/schedules.md").read_text()

    for name in SCHEDULES:
        assert f"### {name}\n\n![{name}](schedules/{name}.svg)" in page
        assert (ROOT / f"docs/schedules/{name}.svg").is_file()
