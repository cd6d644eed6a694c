import io
import json
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Bar, Row, Skipped
from benchmarks.report import cells, print_table, shown, write_json

MET = Row(
    path="send",
    peer="Node",
    unit="messages/s",
    ours=120_000.0,
    theirs=100_000.0,
    ratio=1.2,
    low=1.1,
    high=1.3,
    bar=Bar(limit=1.0, stretch=1.6),
    cpu_us=6.24,
    peer_cpu_us=7.9,
    note="p99 9.1 ms",
)
MISSED = Row(path="start", peer="", unit="ms", ours=512.0, bar=Bar(limit=400.0, of_ratio=False))


def test_a_row_shows_rate_cost_ratio_and_bar() -> None:
    assert cells(MET) == [
        "send (p99 9.1 ms)",
        "Node",
        "120,000 /s",
        "100,000",
        "1.20",
        "1.10–1.30",
        "≥ 1 (1.6)",
        "yes",
        "6.2",
        "7.9",
    ]


def test_small_figures_keep_a_digit_and_missing_ones_stay_empty() -> None:
    assert [shown(4.25), shown(99.96), shown(1234.5), shown(None)] == ["4.2", "100.0", "1,234", ""]


def test_the_table_says_what_was_skipped_and_why() -> None:
    text = io.StringIO()

    print_table(
        [MET, Skipped(path="Mockoon", why="npm is missing")], {"cores": "2"}, console=Console(file=text, width=160)
    )

    assert "send" in text.getvalue()
    assert "cores" in text.getvalue()
    assert "skipped: Mockoon: npm is missing" in text.getvalue()


def test_the_json_holds_the_machine_and_whether_bars_were_met(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"

    write_json(path, [MET, MISSED, Skipped(path="Go", why="go is missing")], {"cores": "2"})

    found = json.loads(path.read_text())
    assert found["machine"] == {"cores": "2"}
    assert [row["is_met"] for row in found["rows"]] == [True, True]
    assert found["skipped"] == [{"path": "Go", "why": "go is missing"}]
