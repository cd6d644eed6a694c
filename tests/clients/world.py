"""The gateway that the clients talk to: strict, with one iPhone and one Android phone registered."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.request import Request, urlopen

from tests.running import gateway

PROJECT = "@emulator/app"
# Well-formed, and never registered.
UNKNOWN = "ExponentPushToken[nobodyHasThisOneInHere]"


@contextmanager
def world() -> Iterator[Mapping[str, str]]:
    """The environment of a client."""
    with gateway("--strict") as (_, ready):
        url = str(ready["url"])
        yield {
            "GATEWAY_URL": url,
            # What the npm SDK from 3.11 reads; without it that one would go to exp.host.
            "EXPO_BASE_URL": url,
            "TOKEN_IOS": registered(url, kind="apns", device_token="ab" * 32),
            "TOKEN_ANDROID": registered(url, kind="fcm", device_token=f"{'c' * 22}:APA91b{'d' * 134}"),
            "TOKEN_UNKNOWN": UNKNOWN,
        }


def registered(url: str, *, kind: str, device_token: str) -> str:
    """A push token, asked for as expo-notifications does."""
    body = {
        "type": kind,
        "deviceId": f"00000000-0000-4000-8000-{device_token[0] * 12}",
        "development": False,
        "appId": "com.example.clients",
        "deviceToken": device_token,
        "experienceId": PROJECT,
    }
    request = Request(
        f"{url}/--/api/v2/push/getExpoPushToken",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["data"]["expoPushToken"])
