"""Home Assistant's relay, local push and services over a gateway. Imported with the first request that is theirs."""

import os
from functools import partial
from ssl import SSLContext, create_default_context

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.control.guard import is_loopback
from expo_gateway.doors.home_assistant import registrations, relay, services, websocket
from expo_gateway.doors.home_assistant.answers import MAX_BODY_BYTES
from expo_gateway.home_assistant.access import AccessTokens
from expo_gateway.home_assistant.parts import HomeAssistant
from expo_gateway.home_assistant.recipients import Recipients
from expo_gateway.home_assistant.registrations import Registrations
from expo_gateway.home_assistant.relay import Relay
from expo_gateway.home_assistant_needs import Needs
from expo_gateway.protocol.push_url import read_allowed, read_push_url
from expo_gateway.providers.channels import Channels
from expo_gateway.providers.local import Endpoint, LocalProvider
from expo_gateway.providers.push_url import PushUrlClient
from expo_gateway.registry.sqlite_home_assistant import SqliteHomeAssistant
from expo_gateway.settings import Settings


def make_home_assistant(needs: Needs) -> HomeAssistant:
    settings = needs.settings.home_assistant
    store = SqliteHomeAssistant(needs.stores.file)
    channels = Channels(exact=settings.exact) if needs.can_listen else None
    registered = Registrations(
        store=store,
        registry=needs.stores.registry,
        gateway=needs.gateway,
        channels=channels,
        clock=needs.clock,
        random_bytes=os.urandom,
    )
    recipients = Recipients(
        registry=needs.stores.registry,
        gateway=needs.gateway,
        policy=needs.policy,
        has_real=lambda: needs.admission.has_real,
        project=settings.project,
    )
    relayed = Relay(
        gateway=needs.gateway,
        recipients=recipients,
        store=store,
        outbox=needs.stores.outbox,
        clock=needs.clock,
        max_per_day=settings.max_per_day,
        exact=settings.exact,
    )
    host = needs.settings.server.host
    provider = LocalProvider(
        channels=channels,
        cloud_of=registered.cloud_of,
        relay=relayed,
        own_endpoint=partial(own_endpoint, prefix=settings.prefix, host=host, port=needs.port),
        push_urls=PushUrlClient(
            allowed=read_allowed(settings.push_url_allow),
            stays_in=lambda: is_loopback(host) and not needs.admission.has_real,
            tls=partial(_context, needs.settings),
        ),
        waits=needs.waits_for_phone,
        confirm_s=settings.confirm_s,
        exact=settings.exact,
    )
    return HomeAssistant(
        store=store,
        tokens=AccessTokens(store=store, configured=settings.tokens),
        registrations=registered,
        relay=relayed,
        channels=channels,
        provider=provider,
    )


def home_assistant_door(parts: HomeAssistant, needs: Needs, *, otherwise: ASGIApp) -> ASGIApp:
    """Their paths, over HTTP and as a WebSocket; what else lies under /api is for `otherwise`."""
    timeout_s = needs.settings.server.body_timeout_s
    bodies = Bodies(timeout_s=timeout_s, max_body_bytes=MAX_BODY_BYTES)
    app = Starlette(
        routes=[
            *relay.routes(parts.relay, bodies=Bodies(timeout_s=timeout_s), prefix=needs.settings.home_assistant.prefix),
            *registrations.routes(parts.registrations, parts.tokens, bodies=bodies),
            *services.routes(parts.registrations, parts.tokens, parts.store, bodies=bodies, clock=needs.clock),
            *websocket.routes(),
        ]
    )
    app.router.default = otherwise
    app.router.redirect_slashes = False
    socket = websocket.WebSocketDoor(
        registrations=parts.registrations,
        tokens=parts.tokens,
        channels=parts.channels,
        ha_version=needs.settings.home_assistant.ha_version,
        stopping=needs.stopping,
    )

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        await (socket if scope["type"] == "websocket" else app)(scope, receive, send)

    return door


def own_endpoint(url: str, *, prefix: str, host: str, port: int | None) -> Endpoint | None:
    """Which of our relay's endpoints a `push_url` is; None: none, or one that we can't tell to be ours."""
    try:
        target = read_push_url(url)
    except ValueError:
        return None
    is_here = target.port == port and (is_loopback(target.host) or target.host == host.lower())
    paths: dict[str, Endpoint] = {
        f"{prefix}/api/sendPushNotification": "legacy",
        f"{prefix}/api/sendPush/android/v1": "android",
    }
    return paths.get(target.target) if is_here else None


def _context(settings: Settings) -> SSLContext:
    """Trusts the system's authorities, and the operator's."""
    context = create_default_context()
    if settings.providers.ca_file is not None:
        context.load_verify_locations(settings.providers.ca_file)
    return context
