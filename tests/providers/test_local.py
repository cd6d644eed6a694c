"""Local push: the channel first, else the cloud; exactly once."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from expo_gateway.errors import StoreUnavailable
from expo_gateway.protocol.local import LocalRequest
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers import channels, local
from expo_gateway.providers.base import Accepted, Outcome, Rejected, Unsent
from expo_gateway.providers.channels import Channels
from expo_gateway.providers.local import Cloud, Endpoint, LocalProvider, RelayAnswer
from expo_gateway.providers.push_url import NotAnswered, NotPosted, Posted

PHONE = "a" * 64
TICKET = "01a202f3-533c-7000-b9b5-5639756d66fe"
CONFIRM_ID = TICKET.replace("-", "")
OWN_URL = "http://127.0.0.1:8080/api/sendPush/android/v1"
INFO = {"app_id": "a", "app_version": "1", "webhook_id": "w"}
REQUEST = LocalRequest(
    ticket_id=TICKET, registration_id=PHONE, event=Raw(b'{"message":"Hello","data":{"a":1}}'), attempt=1
)
SECOND = LocalRequest(ticket_id=TICKET, registration_id=PHONE, event=REQUEST.event, attempt=2)
AN_HOUR_S = 3600.0


class Scene:
    """A provider, and what it is over: a cloud that answers as it is told to, and keeps what it got."""

    def __init__(self, *, confirm_s: float = AN_HOUR_S, exact: bool = False, listens: bool = True) -> None:
        self.channels = Channels(exact=exact)
        self.cloud: Cloud | Exception | None = cloud(push_url="https://push.example.com/x")
        self.relayed: list[tuple[str, Mapping[str, object]]] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.relay_answer = RelayAnswer(status=201, body={"messageId": "m"})
        self.post_answer: Posted | NotPosted | NotAnswered = Posted(status=201, body=b'{"messageId":"p"}')
        self.waits: list[tuple[str, bool]] = []
        self.is_waiting = asyncio.Event()
        self.events: list[dict[str, Any]] = []
        self.provider = LocalProvider(
            channels=self.channels if listens else None,
            cloud_of=self._cloud_of,
            relay=self,
            own_endpoint=lambda url: "android" if url == OWN_URL else None,
            push_urls=self,
            waits=self._waits,
            confirm_s=confirm_s,
            exact=exact,
        )

    def listen(self, *, support_confirm: bool = True) -> Any:
        return self.channels.open(
            PHONE,
            deliver=lambda event: self.events.append(json.loads(event)),
            end=lambda _: None,
            support_confirm=support_confirm,
        )

    async def push(self, endpoint: Endpoint, notification: Mapping[str, object]) -> RelayAnswer:
        self.relayed.append((endpoint, notification))
        return self.relay_answer

    async def post(self, url: str, body: bytes) -> Posted | NotPosted | NotAnswered:
        self.posted.append((url, json.loads(body)))
        return self.post_answer

    async def _cloud_of(self, registration_id: str) -> Cloud | None:
        assert registration_id == PHONE
        if isinstance(self.cloud, Exception):
            raise self.cloud
        return self.cloud

    async def under_way(self) -> asyncio.Task[Outcome]:
        """A send that waits for its confirm."""
        sending = asyncio.create_task(self.provider.send(REQUEST))
        await self.is_waiting.wait()
        return sending

    def _waits(self, ticket: str, waits: bool) -> None:
        self.waits.append((ticket, waits))
        self.is_waiting.set()


def cloud(*, push_url: str | None = None, push_token: str | None = "abc:ok201") -> Cloud:
    return Cloud(push_url=push_url, push_token=push_token, registration_info=INFO, endpoint="legacy")


# -- the channel ------------------------------------------------------------------------------------------------------


async def test_a_confirmed_event_is_delivered_and_the_cloud_hears_nothing() -> None:
    scene = Scene()
    scene.listen()
    sending = await scene.under_way()

    scene.channels.confirm(PHONE, CONFIRM_ID)

    assert await sending == Accepted(provider_id="local")
    assert scene.events == [{"message": "Hello", "data": {"a": 1}, "hass_confirm_id": CONFIRM_ID}]
    assert scene.waits == [(TICKET, True), (TICKET, False)]
    assert (scene.posted, scene.relayed) == ([], [])


async def test_without_confirms_it_is_delivered_at_once() -> None:
    scene = Scene()
    scene.listen(support_confirm=False)

    assert await scene.provider.send(REQUEST) == Accepted(provider_id="local")
    assert (scene.events, scene.waits) == ([{"message": "Hello", "data": {"a": 1}}], [])


@pytest.mark.parametrize("exact", [False, True])
async def test_what_nobody_confirms_is_tried_another_way_at_once(exact: bool) -> None:
    scene = Scene(confirm_s=0.001, exact=exact)
    scene.listen()

    outcome = await scene.provider.send(REQUEST)

    assert isinstance(outcome, Unsent)
    assert outcome.backoff.first_s == 0
    assert scene.channels.is_open(PHONE) is not exact
    assert not scene.channels.confirm(PHONE, CONFIRM_ID)
    assert (scene.posted, scene.channels.waiting) == ([], 0)


async def test_a_client_that_leaves_ends_the_wait_at_once() -> None:
    scene = Scene()
    channel = scene.listen()
    sending = await scene.under_way()

    scene.channels.close(channel)

    assert isinstance(await sending, Unsent)
    assert scene.waits[-1] == (TICKET, False)


async def test_a_send_that_is_cancelled_leaves_nothing_that_waits() -> None:
    scene = Scene()
    scene.listen()
    sending = await scene.under_way()

    sending.cancel()
    await asyncio.wait({sending})

    assert (scene.channels.waiting, scene.waits[-1]) == (0, (TICKET, False))


async def test_the_second_attempt_goes_to_the_cloud_though_a_client_listens() -> None:
    scene = Scene()
    scene.listen()

    assert await scene.provider.send(SECOND) == Accepted(provider_id="p")
    assert scene.events == []


async def test_where_nobody_can_listen_the_first_attempt_goes_to_the_cloud() -> None:
    scene = Scene(listens=False)

    assert await scene.provider.send(REQUEST) == Accepted(provider_id="p")


async def test_who_has_no_cloud_waits_for_room_in_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_WAITING_OF_ONE", 1)
    scene = Scene()
    scene.cloud = cloud(push_token=None)
    scene.listen()
    sending = await scene.under_way()
    other = replace(REQUEST, ticket_id=TICKET[::-1])

    outcome = await scene.provider.send(other)

    assert isinstance(outcome, Unsent)
    assert outcome.backoff.first_s > 0

    scene.channels.confirm(PHONE, CONFIRM_ID)
    assert await sending == Accepted(provider_id="local")
    scene.is_waiting.clear()
    again = asyncio.create_task(scene.provider.send(replace(other, attempt=2)))
    await scene.is_waiting.wait()
    scene.channels.confirm(PHONE, CONFIRM_ID[::-1])
    assert await again == Accepted(provider_id="local")


async def test_who_has_no_cloud_is_not_told_twice_what_it_did_not_confirm() -> None:
    scene = Scene()
    scene.cloud = cloud(push_token=None)
    scene.listen()

    outcome = await scene.provider.send(SECOND)

    assert isinstance(outcome, Rejected)
    assert (scene.events, outcome.backoff) == ([], None)


async def test_of_those_that_wait_for_room_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_WAITING_OF_ONE", 0)
    monkeypatch.setattr(local, "MAX_TURNED_AWAY", 1)
    scene = Scene()
    scene.cloud = cloud(push_token=None)
    scene.listen()

    for ticket in (TICKET, TICKET[::-1]):
        assert isinstance(await scene.provider.send(replace(REQUEST, ticket_id=ticket)), Unsent)

    assert isinstance(await scene.provider.send(SECOND), Rejected)
    assert isinstance(await scene.provider.send(replace(SECOND, ticket_id=TICKET[::-1])), Unsent)


# -- the cloud --------------------------------------------------------------------------------------------------------


async def test_the_cloud_gets_the_notification_in_home_assistants_form() -> None:
    scene = Scene()

    assert await scene.provider.send(REQUEST) == Accepted(provider_id="p")
    assert scene.posted == [
        (
            "https://push.example.com/x",
            {"message": "Hello", "data": {"a": 1}, "push_token": "abc:ok201", "registration_info": INFO},
        )
    ]


@pytest.mark.parametrize(("exact", "leaks"), [(False, False), (True, True)])
async def test_only_exact_the_confirm_id_leaks_into_the_cloud(exact: bool, leaks: bool) -> None:
    scene = Scene(exact=exact)

    await scene.provider.send(SECOND)

    ((_, posted),) = scene.posted
    assert posted.get("hass_confirm_id") == (CONFIRM_ID if leaks else None)


@pytest.mark.parametrize(("push_url", "endpoint"), [(OWN_URL, "android"), (None, "legacy")])
async def test_our_own_relay_is_asked_without_a_detour(push_url: str | None, endpoint: str) -> None:
    scene = Scene()
    scene.cloud = cloud(push_url=push_url)

    assert await scene.provider.send(REQUEST) == Accepted(provider_id="m")
    notification = {"message": "Hello", "data": {"a": 1}, "push_token": "abc:ok201", "registration_info": INFO}
    assert (scene.relayed, scene.posted) == ([(endpoint, notification)], [])


@pytest.mark.parametrize("gone", [None, cloud(push_token=None)])
async def test_who_neither_listens_nor_has_a_cloud_is_not_connected(gone: Cloud | None) -> None:
    scene = Scene()
    scene.cloud = gone

    outcome = await scene.provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert (outcome.receipt.error, outcome.backoff) == (ReceiptError.EXPO_ERROR, None)
    assert "not connected to local push notifications" in outcome.receipt.message


async def test_a_store_that_is_away_is_asked_again_later() -> None:
    scene = Scene()
    scene.cloud = StoreUnavailable("the store can't be used now")

    outcome = await scene.provider.send(REQUEST)

    assert isinstance(outcome, Unsent)
    assert outcome.backoff.first_s > 0


@pytest.mark.parametrize("said", [{"message": {"a": 1}}, {"message": ""}, {"message": None, "errorMessage": [1]}, {}])
async def test_a_no_without_a_text_has_no_reason(said: dict[str, object]) -> None:
    scene = Scene()
    scene.post_answer = Posted(status=500, body=json.dumps(said).encode())

    outcome = await scene.provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert outcome.receipt.message == "The relay answered 500: no reason was given"


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_what_home_assistant_takes_for_delivered_is(status: int) -> None:
    scene = Scene()
    scene.post_answer = Posted(status=status, body=b"no JSON at all")

    assert await scene.provider.send(REQUEST) == Accepted(provider_id="")


@pytest.mark.parametrize(
    ("status", "body", "reason", "error"),
    [
        (429, {"message": "Too many"}, "RateLimited", ReceiptError.MESSAGE_RATE_EXCEEDED),
        (500, {"errorMessage": "Broken"}, "Status500", ReceiptError.PROVIDER_ERROR),
        (404, {"errorType": "InvalidToken", "message": "Gone"}, "InvalidToken", ReceiptError.PROVIDER_ERROR),
        (302, {}, "Status302", ReceiptError.PROVIDER_ERROR),
        (503, {"message": "Later"}, "Status503", ReceiptError.PROVIDER_ERROR),
    ],
)
async def test_a_no_of_the_cloud_is_final(status: int, body: dict[str, str], reason: str, error: ReceiptError) -> None:
    scene = Scene()
    scene.post_answer = Posted(status=status, body=json.dumps(body).encode())

    outcome = await scene.provider.send(REQUEST)

    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.status, outcome.receipt.error) == (reason, status, error)
    assert (outcome.backoff, outcome.device_gone) == (None, False)
    assert all(text in outcome.receipt.message for text in body.values() if text != "InvalidToken")


async def test_a_relay_that_accepted_nothing_is_asked_again() -> None:
    scene = Scene()
    scene.cloud = cloud()
    scene.relay_answer = RelayAnswer(status=503, body={"errorType": "Unavailable", "message": "Later"})

    assert isinstance(await scene.provider.send(REQUEST), Unsent)


async def test_only_what_surely_never_arrived_is_posted_again() -> None:
    scene = Scene()
    outcomes = []
    for answer in (
        NotPosted(why="no connection"),
        NotPosted(why="private", is_refused=True),
        NotAnswered(why="silence"),
    ):
        scene.post_answer = answer
        outcomes.append(await scene.provider.send(REQUEST))

    assert [isinstance(outcome, Unsent) for outcome in outcomes] == [True, False, False]
    assert [outcome.backoff for outcome in outcomes[1:] if isinstance(outcome, Rejected)] == [None, None]


async def test_a_push_url_that_hangs_keeps_few_waiting_and_no_other_device_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "MAX_POSTING_OF_ONE", 2)
    monkeypatch.setattr(local, "MAX_POSTING", 3)
    scene, hanging = Scene(), asyncio.Event()

    async def hang(url: str, body: bytes) -> Posted:
        await hanging.wait()
        return Posted(status=201, body=b"{}")

    monkeypatch.setattr(scene, "post", hang)
    sending = [asyncio.create_task(scene.provider.send(REQUEST)) for _ in range(3)]
    done, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)

    (outcome,) = [task.result() for task in done]
    assert isinstance(outcome, Unsent)
    assert outcome.backoff.first_s > 0
    assert [waits for _, waits in scene.waits] == [True, True]

    hanging.set()
    assert sum(isinstance(one, Accepted) for one in await asyncio.gather(*sending)) == 2
    assert [waits for _, waits in scene.waits] == [True, True, False, False]
    assert isinstance(await scene.provider.send(REQUEST), Accepted)
