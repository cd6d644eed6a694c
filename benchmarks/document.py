"""What a run puts into docs/performance.md: the table, and the arithmetic for more machines."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.figures import Row, Skipped
from benchmarks.report import cells

# Our choice: a core that is planned fuller has no room for a bad minute.
PLANNED = 0.6
CORES = 4
DAY_S = 86_400
INTAKE, DISPATCH = "send, 100 messages, gzip: gateway on", "dispatch, outbox to receipts"


def filled(page: str, section: str, text: str) -> str:
    """The page with `text` between its comments "begin section" and "end section". ValueError without them."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page has no place for {section}")
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page, flags=re.DOTALL)


def figures(rows: Sequence[Row | Skipped], machine: Mapping[str, str]) -> str:
    """The machine, and the table as Markdown. Skipped rows are left out."""
    head = "; ".join(f"{name}: {machine[name]}" for name in ("cpu", "cores", "python", "settings", "rounds", "load"))
    lines = [head, "", machine["packages"], "", machine["peers"], ""]
    lines += ["| path | peer | ours | peer's | ratio | bar | CPU µs | peer's |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if isinstance(row, Row):
            path, peer, ours, theirs, ratio, _, bar, met, cpu, peer_cpu = cells(row)
            reached = f"{bar}, {'met' if met == 'yes' else 'not met'}" if met else ""
            lines.append(f"| {path} | {peer} | {ours} | {theirs} | {ratio} | {reached} | {cpu} | {peer_cpu} |")
    return "\n".join(lines) + "\n"


def machines(rows: Sequence[Row | Skipped]) -> str | None:
    """The arithmetic with what was measured; None when the two rows that it needs were not."""
    accept_us, deliver_us = _cost_us(rows, INTAKE), _cost_us(rows, DISPATCH)
    if accept_us is None or deliver_us is None:
        return None
    lines = [
        f"Measured above: a = {accept_us:.1f}, d = {deliver_us:.0f}. With {CORES} cores a machine, one worker a core:",
        "",
        "| machines | messages a second, lasting | a day | for a burst |",
        "|---|---|---|---|",
    ]
    for count in (1, 10, 100):
        lasting = messages_per_s(count * CORES, accept_us + deliver_us)
        burst = messages_per_s(count * CORES, accept_us)
        lines.append(f"| {count} | {rounded(lasting)} | {rounded(lasting * DAY_S)} | {rounded(burst)} |")
    return "\n".join(lines) + "\n"


def messages_per_s(cores: int, cost_us: float) -> float:
    """What these cores do when a message costs so much and they are planned as full as we plan."""
    return cores * PLANNED * 1e6 / cost_us


def rounded(value: float) -> str:
    """Two digits and a unit: more would be a promise."""
    for limit, unit in ((1e9, " billion"), (1e6, " million"), (1e3, ",000")):
        if value >= limit:
            return f"{float(f'{value / limit:.2g}'):,g}{unit}"
    return f"{float(f'{value:.2g}'):g}"


def _cost_us(rows: Sequence[Row | Skipped], path: str) -> float | None:
    """Of the first row whose path begins so: the best server comes first."""
    return next((row.cpu_us for row in rows if isinstance(row, Row) and row.path.startswith(path)), None)
