"""`expo-gateway control`: a running gateway's control API from a shell. Deliveries, waiting, faults, clock, runs; and
`ask` for all the rest.

Thin: every command is one question, and `--json` shows its answer as it is. A run's own URL, `…/r/<name>`, asks of it.
"""

import json
import os
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from expo_gateway.commands.connecting import DEFAULT_URL, connecting
from expo_gateway.commands.stored import AsJson, note, print_json, print_table, shown_at
from expo_gateway.errors import ExpoGatewayError, SettingsError
from expo_gateway.protocol.push_token import redacted
from expo_gateway.testing.control import Control, ControlRefused, path_of

TOKEN_VARIABLE = "EXPO_GATEWAY_CONTROL__TOKEN"

app = typer.Typer(help="See, wait for, break and move what a test gateway does.", no_args_is_help=True)
faults = typer.Typer(help="Forced failures.", no_args_is_help=True)
clock = typer.Typer(help="The time of a run.", no_args_is_help=True)
runs = typer.Typer(help="Worlds beside the default one.", no_args_is_help=True)
home = typer.Typer(help="What came to Home Assistant's doors.", no_args_is_help=True)
for _name, _group in (("faults", faults), ("clock", clock), ("runs", runs), ("home-assistant", home)):
    app.add_typer(_group, name=_name)

Url = Annotated[
    str,
    typer.Option(
        metavar="URL", envvar="EXPO_BASE_URL", show_envvar=True, help="The gateway, or a run of it. Its control token "
        f"is taken from {TOKEN_VARIABLE}."
    ),
]  # fmt: skip
Filters = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=VALUE]...",
        help="Only those that are so: to, title, subtitle, body, text, data.<path>, state, platform, project, batch, "
        "ticket, since.",
    ),
]


# -- deliveries -------------------------------------------------------------------------------------------------------


@app.command("list")
def list_deliveries(
    filters: Filters = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 100,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List deliveries, the oldest first."""
    answer = _control(url).get("/deliveries", [*_pairs(filters), ("limit", str(limit))])
    _show_deliveries(answer, as_json=as_json)
    if answer["next"] is not None and not as_json:
        note(f"there are more than {limit}: --limit, or NAME=VALUE")


@app.command()
def show(delivery: Annotated[str, typer.Argument(metavar="ID", help="Its ticket id.")], url: Url = DEFAULT_URL) -> None:
    """Show the whole life of one delivery, in JSON."""
    print_json(_control(url).get(f"/deliveries{path_of(delivery)}"))


@app.command()
def wait(
    filters: Filters = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Until there are so many.")] = 1,
    timeout_s: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, max=120)] = 5.0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Wait until so many deliveries are there; exit code 1, and the nearest misses, when they are not in time."""
    query = [*_pairs(filters), ("count", str(count)), ("timeout_s", str(timeout_s))]
    try:
        answer = _control(url).get("/deliveries/wait", query, patience_s=timeout_s)
    except ControlRefused as refused:
        if as_json and refused.status == 408:
            print_json(refused.answer)
            raise typer.Exit(1) from None
        for near in refused.answer.get("nearest", ()):
            note(f"  {near['delivery']['id']}: {'; '.join(miss['why'] for miss in near['misses'])}")
        raise ExpoGatewayError(refused.message) from None
    _show_deliveries(answer, as_json=as_json)


@app.command()
def ask(
    path: Annotated[str, typer.Argument(metavar="PATH", help="As in devices, counts, idle/wait.")],
    filters: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Of the query.")] = None,
    method: Annotated[
        str, typer.Option("--method", "-X", help="GET, POST, PUT or DELETE; POST where there is a body.")
    ] = "",
    body: Annotated[str, typer.Option(metavar="JSON", help="""As in '{"platform": "ios"}'; - reads stdin.""")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Ask anything of the control API, as its OpenAPI document has it, and show the answer in JSON."""
    value = _object(body) if body else None
    named = method.upper() or ("GET" if value is None else "POST")
    if named not in ("GET", "POST", "PUT", "DELETE"):
        raise SettingsError(f"--method: got {method!r}; wanted GET, POST, PUT or DELETE")
    within = quote(path.strip("/"), safe="/%")
    if named in ("POST", "PUT") and value is None:
        value = {}
    print_json(_control(url).ask(named, f"/{within}", _pairs(filters), body=value))


# -- faults -----------------------------------------------------------------------------------------------------------


@faults.command("list")
def list_faults(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List faults in the order in which they are asked."""
    answer = _control(url).get("/faults")
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["id"], one["act"]["type"], json.dumps(one["match"]), f"{one['acted']}/{one['seen']}")
        for one in answer["faults"]
    ]
    print_table(("id", "act", "match", "acted/seen"), rows)


@faults.command("add")
def add_fault(
    fault: Annotated[str, typer.Argument(metavar="JSON", help="""As in '{"act": {"type": "hang"}}'; - reads stdin.""")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Add a fault."""
    answer = _control(url).post("/faults", _object(fault))
    if as_json:
        print_json(answer)
    else:
        print(answer["id"])


@faults.command("remove")
def remove_fault(
    fault: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="Remove all.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Remove a fault, or all."""
    _delete("/faults", fault, all_of_them=all_of_them, url=url, as_json=as_json)


# -- clock ------------------------------------------------------------------------------------------------------------


@clock.command("show")
def show_clock(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show the time."""
    _show_clock(_control(url).get("/clock"), as_json=as_json)


@clock.command()
def freeze(
    at: Annotated[str | None, typer.Argument(metavar="INSTANT", help="Unix seconds or 2026-01-06T00:00:00Z.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Stand still, at this instant or where it is."""
    body = {} if at is None else {"at": _instant(at)}
    _show_clock(_control(url).post("/clock/freeze", body), as_json=as_json)


@clock.command()
def advance(
    seconds: Annotated[float, typer.Argument(metavar="SECONDS", min=0)],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Go forward at once."""
    _show_clock(_control(url).post("/clock/advance", {"seconds": seconds}), as_json=as_json)


@clock.command("set")
def set_clock(
    at: Annotated[str, typer.Argument(metavar="INSTANT", help="Unix seconds or 2026-01-06T00:00:00Z.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show this instant, and go on from there unless frozen."""
    _show_clock(_control(url).post("/clock/set", {"at": _instant(at)}), as_json=as_json)


@clock.command()
def resume(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Go on from where it was frozen."""
    _show_clock(_control(url).post("/clock/resume"), as_json=as_json)


# -- runs -------------------------------------------------------------------------------------------------------------


@runs.command("list")
def list_runs(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List runs, the one that was used longest ago first."""
    answer = _control(url).get("/runs")
    if as_json:
        print_json(answer)
        return
    rows = [(one["name"], one["base_url"], str(one["deliveries"]), shown_at(one["used_at"])) for one in answer["runs"]]
    print_table(("name", "url", "deliveries", "used"), rows)


@runs.command("delete")
def delete_run(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="Delete all.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Delete a run with all that is in it, or all runs."""
    _delete("/runs", name, all_of_them=all_of_them, url=url, as_json=as_json)


# -- home assistant ---------------------------------------------------------------------------------------------------


@home.command("registrations")
def list_registrations(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 100,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the apps that registered, and whether they listen."""
    answer = _control(url).get("/home_assistant/registrations", [("limit", str(limit))])
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["registration_id"], one["device_name"], one["service"] or "-", one["status"], str(one["messages"]))
        for one in answer["registrations"]
    ]
    print_table(("id", "device", "service", "status", "messages"), rows)


@home.command("forget")
def forget_registration(
    registration: Annotated[str, typer.Argument(metavar="ID")], url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Forget an app that registered: its webhook is gone."""
    _delete("/home_assistant/registrations", registration, all_of_them=False, url=url, as_json=as_json)


@home.command("notifications")
def list_notifications(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the persistent notifications, the newest first."""
    answer = _control(url).get("/home_assistant/notifications")
    if as_json:
        print_json(answer)
        return
    rows = [(one["notification_id"], one["title"] or "-", one["message"]) for one in answer["notifications"]]
    print_table(("id", "title", "message"), rows)


@home.command("dismiss")
def dismiss_notification(
    notification: Annotated[str, typer.Argument(metavar="ID")], url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Dismiss a persistent notification."""
    _delete("/home_assistant/notifications", notification, all_of_them=False, url=url, as_json=as_json)


# -- below ------------------------------------------------------------------------------------------------------------


def _control(url: str) -> Control:
    gateway = connecting(url=url, token_file=None, token=os.environ.get(TOKEN_VARIABLE, ""), ca=None)
    return Control(gateway.url, token=gateway.token or None)


def _pairs(filters: Sequence[str] | None) -> list[tuple[str, str]]:
    split = [one.partition("=") for one in filters or ()]
    wrong = next((name for name, equals, _ in split if not equals), None)
    if wrong is not None:
        raise SettingsError(f"NAME=VALUE: got {wrong!r}; wanted as in title=Hello")
    return [(name, value) for name, _, value in split]


def _object(given: str) -> dict[str, Any]:
    """Of what is given, or of stdin for a hyphen."""
    text = typer.get_text_stream("stdin").read() if given == "-" else given
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"JSON: it is none ({error})") from None
    if not isinstance(value, dict):
        raise SettingsError('JSON: wanted an object, as in {"act": {"type": "hang"}}')
    return value


def _instant(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _delete(path: str, name: str | None, *, all_of_them: bool, url: str, as_json: bool) -> None:
    if (name is None) is not all_of_them:
        raise SettingsError("wanted one of them by name, or --all")
    count = _control(url).delete(path if name is None else f"{path}{path_of(name)}")
    if as_json:
        print_json({"deleted": count})
    else:
        note(f"{count} deleted")


def _show_deliveries(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["id"], shown_at(one["accepted_at"]), one["state"], redacted(one["push_token"]), one["title"] or "-")
        for one in answer["deliveries"]
    ]
    print_table(("id", "accepted", "state", "push token", "title"), rows)


def _show_clock(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print(f"{answer['now']}{' (frozen)' if answer['frozen'] else ''}")
