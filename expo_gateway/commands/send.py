"""`expo-gateway send`: one message by options, or those of a file. What it needs is imported when it runs.

Exit codes: 0 every ticket is ok, or there are no rows; 1 some are errors, or some rows are broken; 2 wrong usage,
nothing was sent; 3 it could not finish; 130 interrupted, 143 terminated.
"""

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from expo_gateway.commands.connecting import DEFAULT_URL, AsJson, CaFile, Format, TokenFile, Url, connecting
from expo_gateway.errors import SettingsError

Text = str | None


def send(
    to: Annotated[list[str] | None, typer.Option(metavar="PUSH_TOKEN", help="A recipient; repeat it for more.")] = None,
    title: Annotated[Text, typer.Option(help="Title.")] = None,
    subtitle: Annotated[Text, typer.Option(help="Subtitle (iOS).")] = None,
    body: Annotated[Text, typer.Option(help="Text.")] = None,
    data: Annotated[Text, typer.Option(metavar="JSON", help="A JSON object for the app.")] = None,
    priority: Annotated[Text, typer.Option(help="default, normal or high.")] = None,
    sound: Annotated[Text, typer.Option(help="default, or a sound file in the app (iOS).")] = None,
    badge: Annotated[int | None, typer.Option(help="Number on the app's icon; 0 clears it (iOS).")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds in which it may be delivered; 0: now or never.")] = None,
    expiration: Annotated[int | None, typer.Option(help="The same as an instant, in Unix seconds.")] = None,
    channel_id: Annotated[Text, typer.Option(help="Notification channel (Android).")] = None,
    category_id: Annotated[Text, typer.Option(help="Notification category.")] = None,
    collapse_id: Annotated[Text, typer.Option(help="It replaces an earlier message with the same id.")] = None,
    tag: Annotated[Text, typer.Option(help="It replaces a shown notification with the same tag (Android).")] = None,
    thread_id: Annotated[Text, typer.Option(help="Notifications are grouped by it (iOS).")] = None,
    interruption_level: Annotated[Text, typer.Option(help="active, critical, passive or time-sensitive (iOS).")] = None,
    image: Annotated[Text, typer.Option(metavar="URL", help="A picture.")] = None,
    mutable_content: Annotated[
        bool | None, typer.Option("--mutable-content", help="The app's extension may change it (iOS).")
    ] = None,
    content_available: Annotated[
        bool | None, typer.Option("--content-available", help="Wake the app in the background (iOS).")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Send the messages in a JSON, JSONL or CSV file, or of stdin (-). The options above fill what "
            "a row leaves out.",
        ),
    ] = None,
    file_format: Annotated[
        Format | None, typer.Option("--format", help="The file's format.  [default: by its name; jsonl for stdin]")
    ] = None,
    after_row: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Pass over the file's rows up to and with this one.  [default: none]",
            show_default=False,
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write a line for each recipient, in the order of the input. A file that is there is replaced.",
        ),
    ] = None,
    strict_input: Annotated[
        bool,
        typer.Option(
            "--strict-input",
            help="Read all of the file first; send nothing if a row is broken or has a key that is no field of Expo's.",
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    token: TokenFile = None,
    ca: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Send one message, or those of a file of any size.

    A CSV file's header row names Expo's fields: to,title,body,data,… with JSON under data. A broken row is reported
    and passed over; a key of a JSON row that is no field of Expo's is warned of and sent. Ctrl-C and SIGTERM wait some
    seconds for what is under way, and say how to go on. A request whose answer got lost is sent again, so its
    recipients may get the message twice; the summary says how many requests that were.
    """
    fields = {
        "title": title,
        "subtitle": subtitle,
        "body": body,
        "data": _object(data),
        "priority": priority,
        "sound": sound,
        "badge": badge,
        "ttl": ttl,
        "expiration": expiration,
        "channelId": channel_id,
        "categoryId": category_id,
        "collapseId": collapse_id,
        "tag": tag,
        "threadId": thread_id,
        "interruptionLevel": interruption_level,
        "richContent": {"image": image} if image else None,
        "mutableContent": mutable_content,
        "contentAvailable": content_available,
    }
    if (file is None) == (not to):
        raise SettingsError("send: wanted either --to PUSH_TOKEN, for one message, or --file FILE, for many")
    gateway = connecting(url=url, token_file=token, token=os.environ.get("EXPO_ACCESS_TOKEN", ""), ca=ca)
    # aiohttp, Rich and msgspec take half a second; --help and serve need none of this.
    from expo_gateway.commands.send_run import Wanted, run_send

    code = run_send(
        Wanted(
            gateway=gateway,
            to=to or [],
            fields={name: value for name, value in fields.items() if value is not None},
            file=file,
            format=file_format,
            after_row=after_row,
            out=out,
            strict_input=strict_input,
            as_json=as_json,
        )
    )
    if code:
        raise typer.Exit(code)


def _object(data: str | None) -> object:
    if data is None:
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise SettingsError(
            f"--data: got what is not JSON ({error.msg}); wanted an object, as in '{{\"id\":1}}'"
        ) from error
    if not isinstance(value, dict):
        raise SettingsError("--data: wanted a JSON object, as in '{\"id\":1}'")
    return value
