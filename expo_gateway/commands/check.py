"""`expo-gateway check`: would a gateway with these settings work? What it needs is imported when it runs.

Exit codes: 0 nothing failed; 1 something did; 2 wrong usage.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from expo_gateway.commands.connecting import AsJson, CaFile, connecting


def check(
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The data directory, as for serve.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="The settings, as for serve.")] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this running gateway too: is it ready, do the clocks agree?")
    ] = None,
    ca: CaFile = None,
    offline: Annotated[bool, typer.Option("--offline", help="Don't connect to Apple and Google.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at settings, data directory, credentials, clock, and the way to Apple and Google. Nothing is sent.

    Google is asked whether it takes the service accounts; Apple can't be asked. Each line is OK, WARN, FAIL or SKIP
    (not looked at), with what to do next.
    """
    gateway = connecting(url=url, token_file=None, token="", ca=ca) if url is not None else None
    # The providers' libraries; --help and serve don't wait for them.
    from expo_gateway.commands.check_run import run_check

    code = run_check(config=config, data=data, environ=os.environ, gateway=gateway, offline=offline, as_json=as_json)
    if code:
        raise typer.Exit(code)
