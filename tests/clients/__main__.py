"""Run every client that can be run here, and print what passed.

    python -m tests.clients [PART OF A NAME…]

The exit code is 1 when a client failed, and with CI=true also when a toolchain is missing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.clients import toolchains
from tests.clients.toolchains import Client, NotAvailable
from tests.clients.world import world

CHECKS = ("tickets", "receipts", "errors")
PASSED = ("ok", "none")
CLIENT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    name: str
    version: str = ""
    checks: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
    failed: bool = False


def main(wanted: Sequence[str]) -> int:
    results = [result for kind in ("node", "python", "rust", "java", "go") for result in run_kind(kind, wanted)]
    console = Console(width=160, highlight=False)
    console.print(table(results))
    for result in results:
        for check, outcome in result.checks.items():
            if outcome not in PASSED:
                console.print(f"{result.name}: {check}: {outcome}", markup=False)
    return 1 if not results or any(result.failed for result in results) else 0


def run_kind(kind: str, wanted: Sequence[str]) -> list[Result]:
    try:
        clients: list[Client] = getattr(toolchains, kind)()
    except NotAvailable as reason:
        in_ci = os.environ.get("CI") == "true"
        return [Result(name=kind, left_out=str(reason), failed=in_ci and reason.is_missing_program)]
    chosen = [client for client in clients if not wanted or any(part in client.name for part in wanted)]
    return [run(client) for client in chosen]


def run(client: Client) -> Result:
    """Each client has a gateway of its own: none sees what another left behind."""
    with world() as environment:
        done = subprocess.run(
            client.command,
            cwd=client.directory,
            env=os.environ | dict(environment),
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip() or "nothing").splitlines()[-1]
        return Result(name=client.name, checks={"start": last[:300]}, failed=True)
    checks = {check: str(said.get(check, "not run")) for check in CHECKS}
    failed = any(outcome not in PASSED for outcome in checks.values())
    return Result(name=client.name, version=str(said["version"]), checks=checks, failed=failed)


def table(results: Sequence[Result]) -> Table:
    made = Table("client", "version", *CHECKS, "")
    for result in results:
        shown = [result.checks.get(check, "-") for check in CHECKS]
        cells = [outcome if outcome in (*PASSED, "-") else "FAILED" for outcome in shown]
        made.add_row(result.name, result.version, *cells, result.left_out and f"left out: {result.left_out}")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
