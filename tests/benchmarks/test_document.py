import pytest

from benchmarks.document import DISPATCH, INTAKE, figures, filled, machines, messages_per_s, rounded
from benchmarks.figures import Bar, Row, Skipped

MACHINE = dict.fromkeys(("cpu", "cores", "python", "settings", "rounds", "load", "packages", "peers"), "x")
PAGE = "before\n<!-- begin figures -->\nold\n<!-- end figures -->\nafter\n"


def row(path: str, cpu_us: float) -> Row:
    return Row(
        path=path,
        peer="Node",
        unit="messages/s",
        ours=120_000.0,
        theirs=100_000.0,
        ratio=1.2,
        bar=Bar(limit=1.0),
        cpu_us=cpu_us,
        peer_cpu_us=7.9,
    )


def test_a_section_of_the_page_is_replaced_and_nothing_else() -> None:
    assert filled(PAGE, "figures", "a \\1 table") == (
        "before\n<!-- begin figures -->\n\na \\1 table\n\n<!-- end figures -->\nafter\n"
    )


def test_a_page_without_the_section_is_refused() -> None:
    with pytest.raises(ValueError, match="machines"):
        filled(PAGE, "machines", "")


def test_the_table_says_which_bars_were_met_and_leaves_out_what_was_skipped() -> None:
    lines = figures([row("send", 6.24), Skipped(path="Go", why="go is missing")], MACHINE).splitlines()

    assert lines[-1] == "| send | Node | 120,000 /s | 100,000 | 1.20 | ≥ 1, met | 6.2 | 7.9 |"
    assert not any("Go" in line for line in lines)


def test_machines_are_counted_by_what_a_message_costs_in_and_out() -> None:
    text = machines([row(f"{INTAKE} granian", 8.0), row(DISPATCH, 112.0), row(f"{INTAKE} hypercorn", 16.0)])

    assert text is not None
    # 4 cores x 0.6 x 1,000,000 us / 120 us
    assert "| 1 | 20,000 | 1.7 billion | 300,000 |" in text
    assert "| 100 | 2 million |" in text


def test_without_the_two_costs_nothing_is_counted() -> None:
    assert machines([row(DISPATCH, 112.0)]) is None


def test_a_core_is_planned_to_three_fifths() -> None:
    assert messages_per_s(1, 600.0) == pytest.approx(1_000.0)


def test_figures_are_rounded_to_what_they_are_worth() -> None:
    assert [rounded(value) for value in (7.25, 950, 20_400, 1_730_000, 1.75e9)] == [
        "7.2",
        "950",
        "20,000",
        "1.7 million",
        "1.8 billion",
    ]
