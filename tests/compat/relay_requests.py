"""Every answer that the relay can be brought to give, by the request that brings it about."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.compat.home_assistant_gateway import CONTROL, HomeGateway
from tests.compat.posted import Answer

LEGACY, ANDROID, CHECK = "/api/sendPushNotification", "/api/sendPush/android/v1", "/api/checkRateLimits"
EXPO = "ExponentPushToken[{}]"
FCM = "abc:{}"
Given = dict[str, object]
# They come from Home Assistant's answer to us, and are the server's own business.
HOP_BY_HOP = {"content-length", "connection", "date", "server"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relays:
    default: HomeGateway
    exact: HomeGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    name: str
    status: int
    """What it is answered with."""
    path: str = LEGACY
    method: str = "POST"
    body: bytes | Given = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    times: int = 1
    """The last answer is meant."""
    exact: bool = False
    before: Callable[[HomeGateway], object] | None = None

    def answer(self, relays: Relays) -> tuple[int, Answer]:
        """The status, and the whole answer."""
        relay = relays.exact if self.exact else relays.default
        if self.before is not None:
            self.before(relay)
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        with httpx.Client(base_url=relay.url, timeout=30.0) as client:
            for _ in range(self.times):
                got = client.request(self.method, self.path, content=body, headers=self.headers)
        headers = {name: value for name, value in got.headers.items() if name not in HOP_BY_HOP}
        return got.status_code, Answer(status=got.status_code, headers=headers, body=got.content)


def expo(name: str) -> str:
    """A push token that only the request of this name has."""
    return EXPO.format(name.replace(" ", "-").replace("'", "").ljust(22, "x")[:22])


def sent(push_token: object, message: object = "Hello", **more: object) -> Given:
    """As Home Assistant posts it."""
    info = {"app_id": "io.robbie.HomeAssistant", "app_version": "1", "webhook_id": "0" * 64, "os_version": "17.0"}
    return {"message": message, "push_token": push_token, "registration_info": info, **more}


def without(name: str) -> Given:
    return {key: value for key, value in sent(expo(f"no {name}")).items() if key != name}


def gone(push_token: str) -> Callable[[HomeGateway], object]:
    """The app is removed, and the gateway knows."""

    def forget_app(relay: HomeGateway) -> None:
        relay.ask("POST", f"{CONTROL}/devices", {"push_token": push_token})
        relay.ask("POST", f"{CONTROL}/devices/{push_token}/unregister", {})
        relay.ask("POST", LEGACY, sent(push_token))
        relay.ask("GET", f"{CONTROL}/deliveries/wait?{httpx.QueryParams({'to': push_token, 'state': 'failed'})}")

    return forget_app


def made(
    push_token: str, platform: str, device_token: str, *, is_gone: bool = False
) -> Callable[[HomeGateway], object]:
    """A virtual device with this device token."""

    def make(relay: HomeGateway) -> None:
        device = {"push_token": push_token, "platform": platform, "device_token": device_token}
        relay.ask("POST", f"{CONTROL}/devices", device)
        if is_gone:
            relay.ask("POST", f"{CONTROL}/devices/{push_token}/unregister", {})

    return make


ACTIVITY = {"live_activity_token": "ab" * 32, "data": {"live_update": True, "tag": "wash", "event": "start"}}
JUST_TEXT = {"content-type": "text/plain"}
ASKED = [
    Ask(name="accepted", status=201, body=sent(expo("accepted"), title="T", data={"a": {"b": [1, None, "ä\u2028"]}})),
    Ask(name="accepted for Android", status=201, path=ANDROID, body=sent(FCM.format("ok201"), data={"ttl": 0})),
    Ask(name="an empty message", status=201, body=sent(expo("an empty message"), "")),
    Ask(name="a command", status=201, body=sent(expo("a command"), "clear_notification", data={"tag": "x"})),
    Ask(name="a live activity", status=201, body=sent(expo("a live activity"), **ACTIVITY)),
    Ask(name="hass_confirm_id", status=201, body=sent(expo("hass_confirm_id"), hass_confirm_id="0" * 32)),
    Ask(name="too big for Apple", status=201, body=sent(expo("too big for Apple"), "x" * 5000)),
    Ask(name="limited", status=429, body=sent(expo("limited")), times=3),
    Ask(name="limited again", status=429, body=sent(expo("limited again")), times=4),
    Ask(name="limited by Expo", status=429, body=sent(EXPO.format("magic-busy-00000000777"))),
    Ask(name="how much is left", status=200, path=CHECK, body={"push_token": expo("how much is left")}),
    Ask(name="how much of what", status=400, path=CHECK, body={}),
    Ask(name="unknown", status=404, body=sent("not a token")),
    Ask(name="unknown APNs", status=404, body=sent("ab" * 32)),
    Ask(name="no such magic", status=400, body=sent(EXPO.format("magic-nothing-00000000"))),
    Ask(name="gone", status=410, body=sent(expo("gone")), before=gone(expo("gone"))),
    Ask(name="a path that is not there", status=404, body=sent(""), path="/api/sendPush/ios/v1"),
    Ask(name="not JSON", status=400, body=b"{"),
    Ask(name="nothing", status=400, body=b""),
    Ask(name="an array", status=400, body=b"[]"),
    Ask(name="broken gzip", status=400, body=b"\x1f\x8b\x08\x00broken"),
    Ask(name="too deep", status=400, body=b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    Ask(name="too much", status=413, body=b" " * 3_000_000),
    Ask(name="no push token", status=400, body=without("push_token")),
    Ask(name="an empty push token", status=400, body=sent("")),
    Ask(name="a push token of another kind", status=400, body=sent(7)),
    Ask(name="an endless push token", status=400, body=sent("x" * 5000)),
    Ask(name="no message", status=400, body=without("message")),
    Ask(name="a message of another kind", status=400, body=sent(expo("other kind"), 7)),
    Ask(name="data of another kind", status=400, body=sent(expo("other kind"), data=[])),
    Ask(name="no registration_info", status=201, body=without("registration_info")),
    Ask(name="not a POST", status=405, method="GET", body=b""),
    Ask(name="exact, accepted", exact=True, status=201, body=sent(FCM.format("ok201"))),
    Ask(name="exact, limited", exact=True, status=429, body=sent(FCM.format("limited")), times=3),
    Ask(name="exact, limited again", exact=True, status=429, body=sent(FCM.format("limited-again")), times=4),
    Ask(name="exact, left", exact=True, status=200, path=CHECK, body={"push_token": FCM.format("left")}),
    Ask(name="exact, no push token", exact=True, status=403, body=without("push_token")),
    Ask(name="exact, no colon", exact=True, status=403, body=sent(expo("no colon"))),
    Ask(name="exact, no registration_info", exact=True, status=500, body={"message": "x", "push_token": "a:b"}),
    Ask(
        name="exact, gone",
        exact=True,
        status=500,
        body=sent(FCM.format("gone")),
        before=made(expo("exact gone"), "android", FCM.format("gone"), is_gone=True),
    ),
    Ask(name="exact, too big", exact=True, status=500, body=sent(FCM.format("big"), "x" * 5000)),
    Ask(name="exact, not JSON", exact=True, status=400, body=b"{"),
    Ask(name="exact, nothing", exact=True, status=400, body=b""),
    Ask(name="exact, not called JSON", exact=True, status=415, body=sent(FCM.format("x")), headers=JUST_TEXT),
    Ask(name="exact, not a POST", exact=True, status=404, method="GET", body=b""),
    Ask(name="exact, too much", exact=True, status=413, body=b" " * 3_000_000),
]
