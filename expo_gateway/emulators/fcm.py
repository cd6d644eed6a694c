"""The FCM HTTP v1 emulator, with the OAuth token endpoint on the same port.

Protocol: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send. What is refused and in which
words is decided in fcm_schema, fcm_rules and oauth; this file puts the decisions in order, keeps captures and answers.
"""

import asyncio
import re
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakSet

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Act, Answer, Outage, Slow, json_answer
from expo_gateway.emulators.fcm_exchange import (
    BodyTooLarge,
    Cut,
    Silence,
    bearer_of,
    connection_of,
    headers_as_received,
    read_body,
    respond,
    response_of,
)
from expo_gateway.emulators.fcm_listener import Connection, Listener
from expo_gateway.emulators.fcm_rules import judge_message, target_of
from expo_gateway.emulators.fcm_schema import SendRequest, read_send_request
from expo_gateway.emulators.inbox import Capture
from expo_gateway.emulators.magic_devices import fcm_refusal
from expo_gateway.emulators.oauth import Assertion, OAuth, read_form
from expo_gateway.emulators.world import EmulatedWorld, Worlds, removed_world

# Our choice: far above any message, so that what is too big for FCM is refused in FCM's words.
MAX_BODY_BYTES = 1 << 20
# FCM v1 names no app, unlike APNs with its topic.
NO_APP_ID = ""
VALIDATED_NAME = "fake_message_id"
"""The message id that production gives to a `validate_only` request."""


@dataclass(slots=True, kw_only=True, eq=False)
class WorldSide:
    """What belongs to one world here."""

    world: EmulatedWorld
    client_email: str = ""
    connections: WeakSet[Connection] = field(default_factory=WeakSet)
    """Those that carried its requests and may be open; not kept for the default world, which never goes."""


class FcmEmulator:
    """FCM and OAuth behind one ASGI `app`, on a port of its own after `start`.

    `world` is the default one. Others are told apart by the project in the path, and at the token endpoint by the
    service account; what names one that nobody made known is the default world's.

    A request goes: fault, credentials, JSON and schema, project, rules of the message, device. Devices that nobody
    enrolled are enrolled by the first push to them, without an app id, unless `devices.known_only`: then they are
    UNREGISTERED. `fid` targets are devices by that id; topics and conditions always succeed and name no device.

    `Reset` and `GoAway` are frames of APNs' HTTP/2 that can't be made behind ASGI: they
    cut the connection, as `Disconnect` does. `Slow` judges and captures at once and answers late, so that a client
    which gives up and tries again shows as a duplicate, as it would be on the phone.

    A `validate_only` request that succeeds leaves no capture and enrols no device.
    """

    def __init__(
        self,
        *,
        world: EmulatedWorld,
        oauth: OAuth,
        max_body_bytes: int = MAX_BODY_BYTES,
        random_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._default = WorldSide(world=world)
        removed = WorldSide(world=removed_world(world.clock))
        self._projects = Worlds(default=self._default, removed=removed)
        self._accounts = Worlds(default=self._default, removed=removed)
        self._oauth = oauth
        self._max_body_bytes = max_body_bytes
        self._random_hex = random_hex
        self._closing = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/projects/{project}/messages:send", self._send, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _front_end_page},
        )
        self._listener = Listener(self.app)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def url(self) -> str:
        """Takes the place of https://fcm.googleapis.com."""
        return self._listener.url

    @property
    def token_url(self) -> str:
        """For `token_uri` in a service account's JSON."""
        return f"{self.url}/token"

    def add_world(
        self,
        world: EmulatedWorld,
        *,
        project_id: str,
        client_email: str,
        private_key_id: str,
        public_key_pem: str | bytes,
    ) -> None:
        """Requests for this project are the world's from now on, and this service account may send for it.

        ValueError: another world has the project or the account, or the PEM holds no RSA public key.
        """
        side = WorldSide(world=world, client_email=client_email)
        self._projects.add(project_id, side)
        try:
            self._accounts.add(client_email, side)
            self._oauth.trust_service_account(
                client_email=client_email,
                private_key_id=private_key_id,
                public_key_pem=public_key_pem,
                project_id=project_id,
            )
        except ValueError:
            self.remove_world(project_id)
            raise

    def remove_world(self, project_id: str) -> None:
        """Cuts the world's connections; what comes for it from now on is cut too. Harmless when it is gone."""
        side = self._projects.remove(project_id)
        if side is None:
            return
        if self._accounts.of(side.client_email) is side:
            self._accounts.remove(side.client_email)
            self._oauth.forget_service_account(side.client_email)
        for connection in tuple(side.connections):
            connection.cut()

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """Listen; port 0 takes a free one. `sock` is bound, and takes the place of both. OSError when the address is
        taken."""
        self._closing.clear()
        await self._listener.start(host, port, tls, sock=sock)

    async def close(self) -> None:
        """Stop listening; requests that a fault holds are cut. Idempotent."""
        self._closing.set()
        await self._listener.close()

    async def _send(self, request: Request) -> Response:
        try:
            body = await read_body(request, max_bytes=self._max_body_bytes)
        except BodyTooLarge:
            return response_of(fcm_errors.request_too_large(self._max_body_bytes))
        except ClientDisconnect:
            return Silence()
        except TimeoutError:
            return Cut()
        project = request.path_params["project"]
        world = self._world_of(self._projects.of(project), request)
        act = _act_at_send(world, body)
        answer, is_delivery = self._decide(world, act, project, bearer_of(request.scope), body)
        if is_delivery:
            _capture(world, request, body, answer)
        return await respond(request, act, answer, self._closing)

    async def _token(self, request: Request) -> Response:
        try:
            form = await read_body(request, max_bytes=self._max_body_bytes)
        except BodyTooLarge:
            return response_of(json_answer(413, {"error": "invalid_request"}))
        except ClientDisconnect:
            return Silence()
        except TimeoutError:
            return Cut()
        assertion = read_form(form)
        account = assertion.issuer if isinstance(assertion, Assertion) else ""
        world = self._world_of(self._accounts.of(account), request)
        act = world.faults.take("oauth", world.occasion("", now=world.clock())) if "oauth" in world.faults else None
        answer = Answer(status=0)
        if isinstance(act, Answer):
            answer = act if act.body is not None else json_answer(act.status, {"error": act.reason})
        elif _is_judged(act):
            answer = self._oauth.exchange(assertion, clock=world.clock, mark=world.faults.added)
        return await respond(request, act, answer, self._closing)

    def _world_of(self, side: WorldSide, request: Request) -> EmulatedWorld:
        if side is not self._default and (connection := connection_of(request.scope)) is not None:
            side.connections.add(connection)
        return side.world

    def _decide(
        self, world: EmulatedWorld, act: Act | None, project: str, access_token: str | None, body: bytes
    ) -> tuple[Answer, bool]:
        """The answer, and whether it is one to capture. Status 0: the act leaves the request without an answer."""
        if isinstance(act, Answer):
            return self._forced(world, act, project), True
        if not _is_judged(act):
            return Answer(status=0), not isinstance(act, Outage)
        refusal = self._judge_access(world, access_token, project)
        if refusal is not None:
            return refusal, True
        request = read_send_request(body)
        if isinstance(request, Answer):
            return request, True
        refusal = judge_message(request.message) or _judge_device(world, request)
        if refusal is not None:
            return refusal, True
        message_id = VALIDATED_NAME if request.validate_only else self._message_id(world)
        return _success(project, message_id), not request.validate_only

    def _judge_access(self, world: EmulatedWorld, access_token: str | None, project: str) -> Answer | None:
        if access_token is None:
            return fcm_errors.credentials_missing()
        access = self._oauth.check(access_token)
        if not access_token or (access.standing == "foreign" and self._oauth.known_tokens_only):
            return fcm_errors.access_token_invalid()
        is_stale = "oauth" in world.faults and access.mark < world.faults.newest("oauth", now=world.clock())
        if access.standing == "expired" or (access.standing == "valid" and is_stale):
            return fcm_errors.access_token_expired()
        if access.account is not None and not access.account.may_send_for(project):
            return fcm_errors.permission_denied(project)
        return None

    def _forced(self, world: EmulatedWorld, act: Answer, project: str) -> Answer:
        if act.body is not None:
            return act
        if act.status == 200:
            return _success(project, self._message_id(world))
        made = fcm_errors.from_reason(act.status, act.reason)
        return Answer(status=act.status, reason=made.reason, body=made.body, headers=act.headers)

    def _message_id(self, world: EmulatedWorld) -> str:
        """As production's: microseconds, then eight hex digits twice."""
        digits = self._random_hex(4)
        return f"0:{int(world.clock() * 1_000_000)}%{digits}{digits}"


def device_token_in(body: bytes) -> str:
    """The `token` or `fid` that a body names, however wrong the rest of it is; else ""."""
    try:
        message = orjson.loads(body)["message"]
        named = message.get("token") or message.get("fid")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ""
    return named if isinstance(named, str) else ""


def _act_at_send(world: EmulatedWorld, body: bytes) -> Act | None:
    if "fcm" not in world.faults:
        return None
    return world.faults.take("fcm", world.occasion(device_token_in(body), now=world.clock()))


def _judge_device(world: EmulatedWorld, request: SendRequest) -> Answer | None:
    kind, device_token = target_of(request.message)
    if kind not in ("token", "fid"):
        return None
    if world.magic_devices and (refusal := fcm_refusal(device_token)) is not None:
        return refusal
    devices = world.fcm_devices
    device = devices.get(device_token)
    if device is None and not devices.known_only and request.validate_only:
        return None
    device = device or devices.meet(device_token, app_id=NO_APP_ID)
    if device is None or device.unregistered_at is not None:
        return fcm_errors.unregistered()
    return None


def _capture(world: EmulatedWorld, request: Request, body: bytes, answer: Answer) -> None:
    accepted = answer.status == 200
    world.inbox.add(
        Capture(
            emulator="fcm",
            received_at=world.clock(),
            path=(request.scope.get("raw_path") or request.scope["path"].encode()).decode("utf-8", "replace"),
            headers=headers_as_received(request.scope),
            body=body,
            device_token=device_token_in(body),
            status=answer.status,
            reason="" if accepted else answer.reason,
            answer_id=_name_in(answer) if accepted else "",
        )
    )


def _is_judged(act: Act | None) -> bool:
    return act is None or isinstance(act, Slow)


def _success(project: str, message_id: str) -> Answer:
    return Answer(status=200, body=fcm_errors.pretty({"name": f"projects/{project}/messages/{message_id}"}))


def _name_in(answer: Answer) -> str:
    found = re.search(rb'"name"\s*:\s*"([^"]*)"', answer.body or b"")
    return found[1].decode() if found else ""


async def _front_end_page(_request: Request, _error: Exception) -> Response:
    """Unknown paths and methods never reach FCM: Google's front end answers 404 with a page to both."""
    return response_of(fcm_errors.front_end_error(404))
