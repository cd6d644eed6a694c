"""`expo-gateway serve`: its options, the process, and what it says when it is ready."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from expo_gateway.logs import set_up_logs
from expo_gateway.settings import load_settings

if TYPE_CHECKING:
    from expo_gateway.front import Ready

# As `command_line.py` declares them for Typer; a test holds them together.
_WITH_VALUE: Final[Mapping[str, tuple[str, type[str] | type[int] | type[Path]]]] = {
    "--host": ("host", str),
    "--port": ("port", int),
    "--data": ("data", Path),
    "--tls-certificate": ("tls_certificate", Path),
    "--tls-key": ("tls_key", Path),
    "--proxy-port": ("proxy_port", int),
    "--server": ("http", str),
    "--workers": ("workers", int),
    "--seed": ("seed", Path),
    "--config": ("config", Path),
}
_FLAGS: Final[Mapping[str, tuple[str, bool]]] = {
    "--tls": ("tls", True),
    "--no-tls": ("tls", False),
    "--strict": ("strict", True),
    "--no-strict": ("strict", False),
    "--json": ("as_json", True),
}


def plain_options(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The options of `serve`, if they are written as `--option value`. None: anything else is for Typer to read or to
    refuse, which takes a tenth of a start."""
    options: dict[str, Any] = {}
    left = iter(arguments)
    for name in left:
        if name in _FLAGS:
            key, is_set = _FLAGS[name]
            options[key] = is_set
            continue
        key, kind = _WITH_VALUE.get(name, ("", str))
        value = next(left, "")
        if not key or not value or value.startswith("-") or (kind is int and not _is_number(value)):
            return None
        options[key] = kind(value)
    return options


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
    tls: bool | None = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    proxy_port: int | None = None,
    strict: bool | None = None,
    http: str | None = None,
    workers: int | None = None,
    as_json: bool = False,
    seed: Path | None = None,
    config: Path | None = None,
) -> int:
    """Serve until it is stopped. Returns the exit code. Raises ExpoGatewayError."""
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

        # asyncio and TLS: a --help, or a wrong setting, needs none of them.
        from expo_gateway.server import run

        return run(settings, announce=announce)


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
