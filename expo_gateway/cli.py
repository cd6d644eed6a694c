"""The command line. Operator's mistakes end in one line on stderr: exit code 2 for usage and settings, 1 for anything
else. With --json, an object on stdout says the same."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from expo_gateway import __version__
from expo_gateway.errors import ExpoGatewayError, SettingsError
from expo_gateway.logs import set_up_logs
from expo_gateway.settings import load_settings

if TYPE_CHECKING:
    from expo_gateway.front import Ready


# Of Click or of Typer's copy of Click, as its version has it; only the subclass has a public name in all of them.
_USAGE_ERROR: Any = typer.BadParameter.__base__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    app = command_line(serve_only=given[:1] == ["serve"])
    try:
        code = app(args=given, standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except ExpoGatewayError as error:
        return _complain(str(error), code=2 if isinstance(error, SettingsError) else 1, as_json=as_json)
    except _USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # as Typer knows it, too
            error.show()
            return 2
        return _complain(_misused(error), code=2, as_json=as_json)
    except typer.Abort:
        return 130  # Ctrl-C, in some versions of Typer
    return code if isinstance(code, int) else 0


def command_line(*, serve_only: bool = False) -> typer.Typer:
    """All commands. `serve_only`: a tenth of a start is what Typer makes of the others' hundred options."""
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


def _complain(text: str, *, code: int, as_json: bool) -> int:
    """Returns the exit code. The keys of the object are promised."""
    if as_json:
        print(orjson.dumps({"event": "error", "message": text, "exit_code": code}).decode(), flush=True)
    print(f"expo-gateway: {text}", file=sys.stderr)
    return code


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
    settings = load_settings(
        config=config,
        environ=os.environ,
        overrides={
            "server": _given(
                host=host,
                port=port,
                tls=tls,
                tls_certificate=tls_certificate,
                tls_key=tls_key,
                http=http,
                workers=workers,
            ),
            "proxy": _given(port=proxy_port, enabled=True if proxy_port is not None else None),
            "store": _given(data=data),
            "emulator": _given(strict=strict, seed=seed),
        },
    )
    set_up_logs(settings.logs)
    with _uncollected() as collect:

        def announce(ready: "Ready") -> None:
            (print_json if as_json else print_screen)(ready)
            collect()

        # Hypercorn and h2: a --help, or a wrong setting, needs none of them.
        from expo_gateway.server import run

        code = run(settings, announce=announce)
    if code:
        raise typer.Exit(code)


@contextmanager
def _uncollected() -> Iterator[Callable[[], None]]:
    """No looking for garbage until what it yields is called: a start makes many objects, and nearly all stay."""

    def collect() -> None:
        gc.freeze()
        gc.enable()

    gc.disable()
    try:
        yield collect
    finally:
        gc.enable()


def _given(**options: object) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def print_json(ready: "Ready") -> None:
    """The first line of stdout, for scripts. Its keys and their order are promised."""
    line = {
        "event": "ready",
        "url": ready.url,
        "apns": ready.apns,
        "fcm": ready.fcm,
        "ca": str(ready.ca),
        "pid": ready.pid,
    }
    if ready.proxy is not None:
        line["proxy"] = ready.proxy
    print(orjson.dumps(line).decode(), flush=True)


def _proxy_lines(ready: "Ready") -> Iterator[tuple[str, str]]:
    """What a client with https://exp.host written into it needs in its environment."""
    if ready.proxy is not None:
        yield "forward proxy", f"HTTPS_PROXY={ready.proxy} leads https://exp.host here, for those who trust the CA:"
        for runtime, name in (
            ("Node", "NODE_EXTRA_CA_CERTS"),
            ("Python", "REQUESTS_CA_BUNDLE"),
            ("curl", "CURL_CA_BUNDLE"),
            ("Go, .NET", "SSL_CERT_FILE"),
        ):
            yield f"  {runtime}", f"{name}={ready.ca}"


def print_screen(ready: "Ready") -> None:
    """The same for people, with something to try."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    kept = str(ready.data) if ready.data is not None else "nowhere: it goes at exit (--data DIR keeps it)"
    certificate = f"--cacert {ready.ca} " if ready.url.startswith("https:") and ready.certificate is None else ""
    for label, text in (
        ("serving", ready.url),
        ("for SDKs", f"EXPO_BASE_URL={ready.url}"),
        ("APNs emulator", ready.apns),
        ("FCM emulator", ready.fcm),
        ("their CA", str(ready.ca)),
        ("state", kept),
        *_proxy_lines(ready),
    ):
        console.print(f"  [dim]{label:<14}[/dim] {escape(text)}")
    console.print("\n  [dim]try[/dim]")
    console.print(
        f"  curl {certificate}{ready.url}/--/api/v2/push/send -H 'Content-Type: application/json' \\\n"
        """    -d '{"to":"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]","title":"Hello"}'\n""",
        markup=False,
    )
