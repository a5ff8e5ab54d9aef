"""Write docs/terminal: the committed example's table at four widths, and a run as it goes on.

    ./run.sh benchmark captures [FOLDER]

The table is that of results/example; the run is told from its records, so every time in it was
measured. Each is text without colours, and an SVG on a light and on a dark ground.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI, TerminalTheme
from rich.text import Text

from harness import PROJECT
from harness.render.progress import TRIALS, clock, count_of, said_left
from harness.run.course import OPTIMIZE, VALIDATE, Course, Step, seconds_taken
from harness.screen.run_table import fitted_table, print_run
from harness.storage.store import COMMITTED, RunFolder
from harness.table.loaded_run import LoadedRun
from harness.table.tables import load_tables

INTO = PROJECT / "docs" / "terminal"
WIDTHS = (60, 80, 100, 200)
THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": MONOKAI}
FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # rich's are loaded from the network
COMMENT = re.compile(r"\s*<!--.*?-->")
FRAMES = (("fp32_fused", VALIDATE), ("int8_inc_basic", OPTIMIZE), ("int8_inc_bayesian", OPTIMIZE))


def main(words: list[str]) -> int:
    """Write the captures, into a folder that is named or into docs/terminal."""
    into = Path(words[0]) if words else INTO
    into.mkdir(parents=True, exist_ok=True)
    run = load_tables(RunFolder(COMMITTED / "published"))
    for width in WIDTHS:
        console = recorder(width)
        print_run(run, None, console)
        _write(into, f"table-{width}", console)
    console = recorder(80)
    for frame in progress(run, 80):
        console.print(frame)
    _write(into, "progress-80", console)
    return 0


def recorder(width: int) -> Console:
    """Return a console that keeps what it shows, whatever the terminal here is."""
    return Console(
        width=width,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        _environ={},
    )


def progress(run: LoadedRun, width: int) -> Iterator[Group]:
    """Yield what the screen shows in the middle of some steps of a run that is made a second time."""
    known = dict(seconds_taken(run.plan, run.folder))
    course = Course(run.plan, known)
    for method, stage in FRAMES:
        step = Step(method, stage)
        number = list(run.plan.methods).index(method)
        with course.taking(step):
            elapsed = known[step] * 0.4
            label = run.rows[number].label
            activity = course.named(step) or "validating"
            count = count_of(12, 0, TRIALS)
            if stage == VALIDATE:
                count = count_of(int(run.plan.images * 0.4), run.plan.images, "images")
            yield Group(
                fitted_table(run.rows[:number], width, best=None),
                "",
                Text(
                    f"⠋ {course.place(step)}{label}: {activity}, {count}, {clock(elapsed)} elapsed"
                    f"{said_left(course.left(step, elapsed))}"
                ),
                "",
            )


def _write(into: Path, name: str, console: Console) -> None:
    text = console.export_text(clear=False)
    lines = [line.rstrip() for line in text.splitlines()]
    (into / f"{name}.txt").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    for theme, colours in THEMES.items():
        (into / f"{name}-{theme}.svg").write_text(
            _svg(console, name, theme, colours), encoding="utf-8"
        )


def _svg(console: Console, name: str, theme: str, colours: TerminalTheme) -> str:
    svg = console.export_svg(
        title="./run.sh", theme=colours, clear=False, unique_id=f"{name}-{theme}"
    )
    lines = [line.rstrip() for line in COMMENT.sub("", FONT.sub("", svg)).splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
