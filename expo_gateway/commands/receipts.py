"""`expo-gateway receipts`: what became of tickets. What it needs is imported when it runs.

Exit codes: 0 every receipt is ok; 1 some are errors, or not there; 2 wrong usage; 3 it could not finish; 130
interrupted.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from expo_gateway.commands.connecting import DEFAULT_URL, AsJson, CaFile, TokenFile, Url, connecting
from expo_gateway.errors import SettingsError


def receipts(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[IDS]...", help="Ticket ids.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Take the tickets from a result file of send, or stdin (-)."),
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Ask until all are there, for so long at most.")
    ] = 0.0,
    url: Url = DEFAULT_URL,
    token: TokenFile = None,
    ca: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the receipts of tickets.

    There is none before a message is delivered or given up, and none after 24 hours.
    """
    if (file is None) == (not ids):
        raise SettingsError("receipts: wanted either ticket ids, or --file FILE.jsonl with the lines that send wrote")
    gateway = connecting(url=url, token_file=token, token=os.environ.get("EXPO_ACCESS_TOKEN", ""), ca=ca)
    # aiohttp and Rich; --help and serve need neither.
    from expo_gateway.commands.receipts_run import Wanted, run_receipts

    code = run_receipts(Wanted(gateway=gateway, ids=ids or [], file=file, wait_s=wait, as_json=as_json))
    if code:
        raise typer.Exit(code)
