"""The program. Operator's mistakes end in one line on stderr: exit code 2 for usage and settings, 1 for anything else.
With --json, an object on stdout says the same."""

import sys
from collections.abc import Sequence
from functools import partial

import orjson

from expo_gateway.errors import ExpoGatewayError, SettingsError
from expo_gateway.serve import plain_options, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    complain = partial(_complain, as_json="--json" in given)
    try:
        options = plain_options(given[1:]) if given[:1] == ["serve"] else None
        if options is not None:
            return serve(**options)
        # Typer: a tenth of a start.
        from expo_gateway.command_line import run_command

        return run_command(given, complain=partial(complain, code=2))
    except ExpoGatewayError as error:
        return complain(str(error), code=2 if isinstance(error, SettingsError) else 1)
    except KeyboardInterrupt:
        return 130  # before `serve` listens to signals


def _complain(text: str, *, code: int, as_json: bool) -> int:
    """Returns the exit code. The keys of the object are promised."""
    if as_json:
        print(orjson.dumps({"event": "error", "message": text, "exit_code": code}).decode(), flush=True)
    print(f"expo-gateway: {text}", file=sys.stderr)
    return code
