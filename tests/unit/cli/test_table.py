"""Tables for people: what stays whole, what wraps, what goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.shared.table import MAX_LINES, cells_of, table_lines

HEADER = ("NAME", "STATUS", "SUBJECT", "CERTIFICATE ENDS", "HELD")
UUID = "7d1f6c1e-6b2e-4a44-9d1f-0f6c0b1c2d3e"
ROWS = (
    ("a-grant-of-a-fair-length", "active (not in git yet)", UUID, "in 23h", "-"),
    ("b", "revoked", "maria@alpha.example", "-", "suspended by user:ana@alpha: ticket 4711"),
)
WHOLE = ("NAME", "CERTIFICATE ENDS")


def test_a_table_of_any_width_is_a_line_a_row() -> None:
    assert table_lines(HEADER, ROWS, None, WHOLE) == [
        (
            "NAME                      STATUS                   SUBJECT"
            "                               CERTIFICATE ENDS  HELD"
        ),
        (
            "a-grant-of-a-fair-length  active (not in git yet)  "
            "7d1f6c1e-6b2e-4a44-9d1f-0f6c0b1c2d3e  in 23h            -"
        ),
        (
            "b                         revoked                  maria@alpha.example"
            "                   -                 suspended by user:ana@alpha: ticket 4711"
        ),
    ]


def test_at_80_columns_names_and_times_stay_whole_and_the_rest_wraps() -> None:
    lines = table_lines(HEADER, ROWS, 80, WHOLE)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "a-grant-of-a-fair-length" in text
    assert "in 23h" in text
    assert "…" not in text
    assert lines[0].split() == ["NAME", "STATUS", "SUBJECT", "CERTIFICATE", "HELD"]


def test_columns_in_which_nothing_is_go_and_the_first_stays() -> None:
    rows = (("-", "x", "-", "", "-"), ("", "y", "-", "-", "-"))
    assert table_lines(HEADER, rows, 80) == ["NAME  STATUS", "-     x", "      y"]


def test_what_is_very_long_is_cut_last() -> None:
    lines = table_lines(("NAME", "HELD"), (("a", "because " * 100),), 40, ("NAME",))
    assert len(lines) == 1 + MAX_LINES
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 40


def test_a_name_that_is_wider_than_the_terminal_wraps_and_is_not_cut() -> None:
    lines = table_lines(("NAME", "STATUS"), (("n" * 63, "active"),), 40, ("NAME",))
    assert max(map(len, lines)) <= 40
    assert sum(line.count("n") for line in lines) == 63


def test_wide_characters_take_two_cells() -> None:
    assert cells_of("\u8cc7\u6599") == 4
    assert cells_of("e\u0301") == 1
    lines = table_lines(("A", "B"), (("\u8cc7\u6599", "x"), ("abcd", "y")), None)
    assert lines[1:] == ["\u8cc7\u6599  x", "abcd  y"]


cells = st.text(st.characters(exclude_categories=["C", "Z", "M"]), max_size=60)


@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(30, 120),
)
def test_every_table_fits_where_its_columns_can(rows: list[list[str]], width: int) -> None:
    header = ("NAME", "STATUS", "HELD")
    for line in table_lines(header, rows, width, ("NAME",)):
        assert cells_of(line) <= width
