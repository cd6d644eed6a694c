"""`python -m benchmarks [NAMES]`: measure, print a table, write build/bench.json and build/bench.svg."""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.bench import Bench, Found
from benchmarks.curves import curves
from benchmarks.document import figures, filled, machines
from benchmarks.figures import Row, Skipped
from benchmarks.load import BadAnswers
from benchmarks.machine import is_busy, machine
from benchmarks.processes import DidNotStart, end_on_sigterm
from benchmarks.report import plot, print_table, write_json
from benchmarks.rows import delivery, dispatch, intake, process, receipts

BUILD = Path(__file__).parent.parent / "build"
PAGE = BUILD.parent / "docs" / "performance.md"
ROUNDS, QUICK_ROUNDS = 5, 2
FULL_S, QUICK_S = 25 * 60.0, 120.0

ROWS: dict[str, Callable[[Bench], Found]] = {
    "gzip": intake.gzip_batches,
    "plain": intake.plain_batches,
    "singles": intake.singles,
    "receipts": receipts.receipts,
    "apns": dispatch.apns,
    "fcm": dispatch.fcm,
    "dispatch": delivery.dispatch,
    "end-to-end": delivery.end_to_end,
    "start": process.start,
    "backlog": process.many_pending,
    "workers": process.workers,
}


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    console = Console(width=None if Console().is_terminal else 200)
    if shutil.which("wrk") is None:
        console.print("wrk is missing: apt install wrk")
        return 1
    end_on_sigterm()
    BUILD.mkdir(exist_ok=True)
    if is_busy():
        console.print("others use this machine: only ratios mean something now", style="yellow")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as directory:
        rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
        bench = Bench(directory=Path(directory), rounds=rounds, quick=asked.quick, say=_sayer(console, asked.quiet))
        if asked.names == ["curves"]:
            curves(bench, asked.plot or BUILD.parent / "docs" / "assets" / "performance.svg")
            return 0
        found, head = _measure(bench, asked.names or list(ROWS)), machine() | {"rounds": str(rounds)}
    print_table(found, head, console=console)
    write_json(asked.json or BUILD / "bench.json", found, head)
    if asked.docs:
        _document(found, head)
    try:
        plot(asked.plot or BUILD / "bench.svg", found)
    except ImportError:
        console.print("no plot: pip install 'expo-gateway[bench]' brings matplotlib")
    return 0


def _measure(bench: Bench, names: Sequence[str]) -> list[Row | Skipped]:
    """Row by row. One that fails is said, and the others go on; when the time is up, the rest is skipped."""
    found: list[Row | Skipped] = []
    ends_at = time.monotonic() + (QUICK_S if bench.quick else FULL_S)
    for name in names:
        if time.monotonic() > ends_at:
            found.append(Skipped(path=name, why="the time is up; ask for it by name"))
            continue
        bench.say(f"-- {name}")
        try:
            found.extend(ROWS[name](bench))
        except (BadAnswers, DidNotStart, OSError, subprocess.SubprocessError) as error:
            found.append(Skipped(path=name, why=f"{type(error).__name__}: {error}"))
        _empty(bench.directory)
    return found


def _document(found: Sequence[Row | Skipped], head: dict[str, str]) -> None:
    page = filled(PAGE.read_text(), "figures", figures(found, head))
    arithmetic = machines(found)
    PAGE.write_text(page if arithmetic is None else filled(page, "machines", arithmetic))


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sayer(console: Console, quiet: bool) -> Callable[[str], None]:
    return lambda text: None if quiet else console.print(text, style="dim", markup=False, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ROWS, "curves", []], help="rows, or curves; all rows by default")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="two minutes; says whether it works, not how fast it is")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--json", type=Path, help="default build/bench.json")
    parser.add_argument("--plot", type=Path, help="default build/bench.svg; .png works too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
