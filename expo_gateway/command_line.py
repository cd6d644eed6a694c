"""All commands and their options, by Typer. `serve` as it is usually written does not come here: see `serve.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from expo_gateway import __version__
from expo_gateway import serve as serving

# Of Click or of Typer's copy of Click, as its version has it; only the subclass has a public name in all of them.
_USAGE_ERROR: Any = typer.BadParameter.__base__


def run_command(arguments: Sequence[str], *, complain: Callable[[str], int]) -> int:
    """Returns the exit code. `complain` is told of wrong usage, and returns its exit code."""
    try:
        code = command_line(serve_only=arguments[:1] == ["serve"])(args=arguments, standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except _USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # as Typer knows it, too
            error.show()
            return 2
        return complain(_misused(error))
    except typer.Abort:
        return 130  # Ctrl-C, in some versions of Typer
    return code if isinstance(code, int) else 0


def command_line(*, serve_only: bool = False) -> typer.Typer:
    """All commands. `serve_only`: the others' hundred options take some time."""
    app = typer.Typer(
        name="expo-gateway",
        help="An Expo-compatible push gateway and emulator.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    app.command()(serve)
    if not serve_only:
        _add_others(app)
    return app


def _add_others(app: typer.Typer) -> None:
    from expo_gateway.commands import control, devices, home_assistant, projects, tokens
    from expo_gateway.commands.check import check
    from expo_gateway.commands.health import health
    from expo_gateway.commands.receipts import receipts
    from expo_gateway.commands.send import send

    for command in (send, receipts, check, health):
        app.command()(command)
    groups = {
        "projects": projects.app,
        "tokens": tokens.app,
        "devices": devices.app,
        "control": control.app,
        "home-assistant": home_assistant.app,
    }
    for name, commands in groups.items():
        app.add_typer(commands, name=name)


def _misused(error: Any) -> str:
    """One line of what Click says in several."""
    names: list[str] = []
    context = error.ctx
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    said = " ".join(error.format_message().split()).rstrip(".")
    where = f"{' '.join(names)}: " if names else ""
    return f"{where}{said}; see `{' '.join(['expo-gateway', *names, '--help'])}`"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"expo-gateway {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """An Expo-compatible push gateway and emulator."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.  [default: 8080]")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep all state here. Without it, state goes at exit.")
    ] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="Serve TLS with a certificate of the emulators' authority.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE.pem", help="Serve TLS with this certificate and its issuers'.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE.pem", help="The private key of --tls-certificate.")
    ] = None,
    proxy_port: Annotated[
        int | None,
        typer.Option(
            help="Serve a forward proxy here, which leads https://exp.host to the gateway; 0 takes any free port."
        ),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Refuse push tokens that were never registered, as Expo does, or enrol them as virtual devices. "
            "Without either: refuse them once a project sends to Apple and Google.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option("--server", metavar="hypercorn|granian", help="Who speaks HTTP.  [default: hypercorn]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the port and the store.  [default: 1]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where everything is as one line of JSON on stdout.")
    ] = False,
    seed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start with the projects, devices and faults in this file.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="Read settings from this file.")] = None,
) -> None:
    """Serve Expo's push API, with emulated APNs and FCM behind it.

    Every setting can also come from --config or from EXPO_GATEWAY_SECTION__KEY in the environment; options win.
    """
    code = serving.serve(
        host=host,
        port=port,
        data=data,
        tls=tls,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        proxy_port=proxy_port,
        strict=strict,
        http=http,
        workers=workers,
        as_json=as_json,
        seed=seed,
        config=config,
    )
    if code:
        raise typer.Exit(code)
