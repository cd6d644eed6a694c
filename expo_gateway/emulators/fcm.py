"""The FCM HTTP v1 emulator, with the OAuth token endpoint on the same port.

Protocol: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send. What is refused and in which
words is decided in fcm_schema, fcm_rules and oauth; this file puts the decisions in order, keeps captures and answers.
"""

import asyncio
import re
import secrets
import ssl
from collections.abc import Callable

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from expo_gateway.emulators import fcm_errors
from expo_gateway.emulators.faults import Act, Answer, Faults, Slow
from expo_gateway.emulators.fcm_exchange import (
    BodyTooLarge,
    Cut,
    Silence,
    bearer_of,
    headers_as_received,
    read_body,
    respond,
    response_of,
)
from expo_gateway.emulators.fcm_listener import Listener
from expo_gateway.emulators.fcm_rules import judge_message, target_of
from expo_gateway.emulators.fcm_schema import SendRequest, read_send_request
from expo_gateway.emulators.inbox import Capture, Inbox
from expo_gateway.emulators.oauth import OAuth, json_answer
from expo_gateway.emulators.virtual_devices import VirtualDevices

# Our choice: far above any message, so that what is too big for FCM is refused in FCM's words.
MAX_BODY_BYTES = 1 << 20
# FCM v1 names no app, unlike APNs with its topic.
NO_APP_ID = ""
VALIDATED_NAME = "fake_message_id"
"""The message id that production gives to a `validate_only` request."""


class FcmEmulator:
    """FCM and OAuth behind one ASGI `app`, on a port of its own after `start`.

    A request goes: fault, credentials, JSON and schema, project, rules of the message, device. Devices that nobody
    enrolled are enrolled by the first push to them, without an app id, unless `devices.known_only`: then they are
    UNREGISTERED. `fid` targets are devices by that id; topics and conditions always succeed and name no device.

    Faults match by device token. `Reset` and `GoAway` are frames of APNs' HTTP/2 that can't be made behind ASGI: they
    cut the connection, as `Disconnect` does. `Slow` judges and captures at once and answers late, so that a client
    which gives up and tries again shows as a duplicate, as it would be on the phone.

    A `validate_only` request that succeeds leaves no capture and enrols no device.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        devices: VirtualDevices,
        faults: Faults,
        oauth: OAuth,
        clock: Callable[[], float],
        max_body_bytes: int = MAX_BODY_BYTES,
        random_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._inbox = inbox
        self._devices = devices
        self._faults = faults
        self._oauth = oauth
        self._clock = clock
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

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen; port 0 takes a free one. OSError when the address is taken."""
        self._closing.clear()
        await self._listener.start(host, port, tls)

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
        act = self._faults.take(device_token_in(body))
        answer, is_delivery = self._decide(act, project, bearer_of(request.scope), body)
        if is_delivery:
            self._capture(request, body, answer)
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
        act = self._oauth.faults.take("")
        answer = Answer(status=0)
        if isinstance(act, Answer):
            answer = act if act.body is not None else json_answer(act.status, {"error": act.reason})
        elif _is_judged(act):
            answer = self._oauth.exchange(form)
        return await respond(request, act, answer, self._closing)

    def _decide(self, act: Act | None, project: str, access_token: str | None, body: bytes) -> tuple[Answer, bool]:
        """The answer, and whether it is one to capture. Status 0: the act leaves the request without an answer."""
        if isinstance(act, Answer):
            return self._forced(act, project), True
        if not _is_judged(act):
            return Answer(status=0), True
        refusal = self._judge_access(access_token, project)
        if refusal is not None:
            return refusal, True
        request = read_send_request(body)
        if isinstance(request, Answer):
            return request, True
        refusal = judge_message(request.message) or self._judge_device(request)
        if refusal is not None:
            return refusal, True
        message_id = VALIDATED_NAME if request.validate_only else self._message_id()
        return _success(project, message_id), not request.validate_only

    def _judge_access(self, access_token: str | None, project: str) -> Answer | None:
        if access_token is None:
            return fcm_errors.credentials_missing()
        access = self._oauth.check(access_token)
        if not access_token or (access.standing == "foreign" and self._oauth.known_tokens_only):
            return fcm_errors.access_token_invalid()
        if access.standing == "expired":
            return fcm_errors.access_token_expired()
        if access.account is not None and not access.account.may_send_for(project):
            return fcm_errors.permission_denied(project)
        return None

    def _judge_device(self, request: SendRequest) -> Answer | None:
        kind, device_token = target_of(request.message)
        if kind not in ("token", "fid"):
            return None
        device = self._devices.get(device_token)
        if device is None and not self._devices.known_only and request.validate_only:
            return None
        device = device or self._devices.meet(device_token, app_id=NO_APP_ID)
        if device is None or device.unregistered_at is not None:
            return fcm_errors.unregistered()
        return None

    def _forced(self, act: Answer, project: str) -> Answer:
        if act.body is not None:
            return act
        if act.status == 200:
            return _success(project, self._message_id())
        made = fcm_errors.from_reason(act.status, act.reason)
        return Answer(status=act.status, reason=made.reason, body=made.body, headers=act.headers)

    def _message_id(self) -> str:
        """As production's: microseconds, then eight hex digits twice."""
        digits = self._random_hex(4)
        return f"0:{int(self._clock() * 1_000_000)}%{digits}{digits}"

    def _capture(self, request: Request, body: bytes, answer: Answer) -> None:
        accepted = answer.status == 200
        self._inbox.add(
            Capture(
                emulator="fcm",
                received_at=self._clock(),
                path=(request.scope.get("raw_path") or request.scope["path"].encode()).decode("utf-8", "replace"),
                headers=headers_as_received(request.scope),
                body=body,
                device_token=device_token_in(body),
                status=answer.status,
                reason="" if accepted else answer.reason,
                answer_id=_name_in(answer) if accepted else "",
            )
        )


def device_token_in(body: bytes) -> str:
    """The `token` or `fid` that a body names, however wrong the rest of it is; else ""."""
    try:
        message = orjson.loads(body)["message"]
        named = message.get("token") or message.get("fid")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ""
    return named if isinstance(named, str) else ""


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
