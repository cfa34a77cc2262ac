"""The console lets no text steer the terminal, and its own styles through."""

import io

from rich.table import Table
from rich.text import Text

from training import console


def test_texts_in_sentences_and_in_cells_are_shown_and_steer_nothing():
    target = io.StringIO()
    screen = console.Screen(file=target, force_terminal=True, width=60, color_system="standard")
    table = Table("band")
    table.add_row("\x1b]0;title\x07\u202ename")
    screen.print("\x9b31m\x1b[2J", markup=False)
    screen.print(table)
    screen.print(Text("\x1b[8mhidden", style="bold"))
    shown = target.getvalue()
    for hostile in ("\x1b[2J", "\x1b]", "\x1b[8m", "\x9b", "\u202e"):
        assert hostile not in shown
    assert "\x1b[1m" in shown, "bold, which we meant"
