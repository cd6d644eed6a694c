"""What a check finds, and how it is written."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    """Not looked at, or nothing that can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    level: Level
    check: str
    """What was looked at."""
    text: str
    next: str = ""
    """What to do; empty when there is nothing to do."""


def ok(check: str, text: str) -> Finding:
    return Finding(level=Level.OK, check=check, text=text)


def warn(check: str, text: str, then: str) -> Finding:
    return Finding(level=Level.WARN, check=check, text=text, next=then)


def fail(check: str, text: str, then: str) -> Finding:
    return Finding(level=Level.FAIL, check=check, text=text, next=then)


def skip(check: str, text: str, then: str) -> Finding:
    return Finding(level=Level.SKIP, check=check, text=text, next=then)


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    (_print_json if as_json else _print_screen)(findings)


def _print_json(findings: Sequence[Finding]) -> None:
    """A line for each, the summary last. Their keys are promised."""
    counts = Counter(finding.level for finding in findings)
    lines: list[dict[str, object]] = [
        {"level": one.level, "check": one.check, "text": one.text, "next": one.next} for one in findings
    ]
    lines.append({"event": "summary", **{level.value: counts[level] for level in Level}})
    sys.stdout.write("".join(orjson.dumps(line).decode() + "\n" for line in lines))


def _print_screen(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape

    colors = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.SKIP: "dim"}
    console = Console(highlight=False, soft_wrap=True)
    for one in findings:
        level = f"[{colors[one.level]}]{one.level.upper():<4}[/]"
        console.print(f"  {level}  {one.check:<16} {escape(one.text)}")
        if one.next:
            console.print(f"        {'':<16} next: {escape(one.next)}")
