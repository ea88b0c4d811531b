"""Tables for people: what stays whole, what wraps, what goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.terminal.table import MAX_LINES, Fit, cells_of, table_lines

HEADER = ("NAME", "STATUS", "SUBJECT", "CERTIFICATE ENDS", "HELD")
UUID = "7d1f6c1e-6b2e-4a44-9d1f-0f6c0b1c2d3e"
ROWS = (
    ("a-grant-of-a-fair-length", "active (not in git yet)", UUID, "in 23h", "-"),
    ("b", "revoked", "maria@alpha.example", "-", "suspended by user:ana@alpha: ticket 4711"),
)
FIT = Fit(names=("NAME",), times=("CERTIFICATE ENDS",), least=("HELD", "SUBJECT"))
NAMES = Fit(names=("NAME",))


def test_a_table_of_any_width_is_a_line_a_row() -> None:
    assert table_lines(HEADER, ROWS, None, FIT) == [
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


def test_names_and_times_stay_whole_and_the_rest_wraps_between_words() -> None:
    lines = table_lines(HEADER, ROWS, 102, FIT)
    assert max(map(len, lines)) <= 102
    text = "\n".join(lines)
    assert "a-grant-of-a-fair-length" in text
    assert UUID in text
    assert "in 23h" in text
    assert "…" not in text
    assert lines[0].split() == ["NAME", "STATUS", "SUBJECT", "CERTIFICATE", "HELD"]


def test_a_table_that_is_wider_than_the_terminal_loses_its_least_columns_and_no_name() -> None:
    by_width = {width: table_lines(HEADER, ROWS, width, FIT) for width in (88, 60, 30, 12)}
    assert all(max(map(len, lines)) <= width for width, lines in by_width.items())
    assert by_width[88][0].split() == ["NAME", "STATUS", "SUBJECT", "CERTIFICATE"]
    assert by_width[60][0].split() == ["NAME", "STATUS", "CERTIFICATE"]
    assert by_width[30][0].split() == ["NAME"]
    assert "a-grant-of-a-fair-length" in by_width[30]
    assert "".join(by_width[12][1:]) == "a-grant-of-a-fair-lengthb"


def test_columns_in_which_nothing_is_go_and_the_first_stays() -> None:
    rows = (("-", "x", "-", "", "-"), ("", "y", "-", "-", "-"))
    assert table_lines(HEADER, rows, 80, NAMES) == ["NAME  STATUS", "-     x", "      y"]


def test_what_is_very_long_is_cut_last() -> None:
    lines = table_lines(("NAME", "HELD"), (("a", "because " * 100),), 40, NAMES)
    assert len(lines) == 1 + MAX_LINES
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 40


def test_a_name_that_is_wider_than_the_terminal_wraps_and_is_not_cut() -> None:
    lines = table_lines(("NAME", "STATUS"), (("n" * 63, "active"),), 40, NAMES)
    assert max(map(len, lines)) <= 40
    assert sum(line.count("n") for line in lines) == 63


def test_wide_characters_take_two_cells() -> None:
    assert cells_of("\u8cc7\u6599") == 4
    assert cells_of("e\u0301") == 1
    lines = table_lines(("A", "B"), (("\u8cc7\u6599", "x"), ("abcd", "y")), None, NAMES)
    assert lines[1:] == ["\u8cc7\u6599  x", "abcd  y"]


cells = st.text(st.characters(exclude_categories=["C", "Z", "M"]), max_size=60)


@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(30, 120),
)
def test_every_table_fits_where_its_columns_can(rows: list[list[str]], width: int) -> None:
    header = ("NAME", "STATUS", "HELD")
    for line in table_lines(header, rows, width, NAMES):
        assert cells_of(line) <= width
