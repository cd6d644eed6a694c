"""Magic push tokens with several processes, after a crash, and turned off. Through SDKs: see tests/compat."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.conftest import Server, StartServer
from tests.magic_push_tokens import magic_push_token
from tests.waiting import GET_RECEIPTS, receipts

SEND = "/--/api/v2/push/send"
TIMES = 12
"""So many connections reach both of two workers."""


def send(server: Server, *tokens: str) -> list[str]:
    """Ticket ids, all of them ok. A connection of its own, so that any worker may have it."""
    answer = httpx.post(server.url + SEND, json={"to": tokens, "body": "x"}, timeout=30.0).raise_for_status()
    return [ticket["id"] for ticket in answer.json()["data"]]


def ask(server: Server, ids: list[str]) -> object:
    return httpx.post(server.url + GET_RECEIPTS, json={"ids": ids}, timeout=30.0).raise_for_status().json()["data"]


def settled(server: Server, ids: list[str]) -> dict[str, str]:
    """`details.error` of each receipt, "" where it is ok."""
    with httpx.Client(base_url=server.url, timeout=30.0) as client:
        found = receipts(client, ids)
    return {id_: receipt.get("details", {}).get("error", "") for id_, receipt in found.items()}


def statuses(count: int, post: Callable[[], httpx.Response]) -> list[int]:
    return [post().status_code for _ in range(count)]


def test_all_workers_agree_on_an_outcome(start_server: StartServer) -> None:
    server = start_server("--workers", "2")
    batches = [
        send(server, *(magic_push_token(word) for word in ("pending", "toobig", "provider"))) for _ in range(TIMES)
    ]

    ids = [ids[place] for ids in batches for place in (1, 2)]

    assert list(settled(server, ids).values()) == ["MessageTooBig", "ProviderError"] * TIMES
    assert [ask(server, [pending]) for pending, _, _ in batches] == [{}] * TIMES


def test_a_busy_device_is_busy_once_for_all_workers(start_server: StartServer) -> None:
    server = start_server("--workers", "2")
    body = {"to": magic_push_token("busy"), "body": "x"}

    found = statuses(TIMES, lambda: httpx.post(server.url + SEND, json=body, timeout=30.0))

    assert found == [429] + [200] * (TIMES - 1)


def test_a_receipt_is_held_through_a_crash(start_server: StartServer, tmp_path: Path) -> None:
    first = start_server("--data", str(tmp_path))
    pending, ordinary = send(first, magic_push_token("pending"), "ExponentPushToken[x]")
    give_up_at = time.monotonic() + 20.0
    while not ask(first, [ordinary]) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    first.kill()

    second = start_server("--data", str(tmp_path))

    assert ask(second, [pending, ordinary]) == {ordinary: {"status": "ok"}}


def test_turned_off_they_are_like_any(start_server: StartServer) -> None:
    server = start_server(EXPO_GATEWAY_EMULATOR__MAGIC_TOKENS="false")
    words = ("gone", "uninstalled", "expo", "pending", "busy", "otherproject")

    ids = send(server, *(magic_push_token(word) for word in words), "ExponentPushToken[magic-gnoe-00000000001]")

    assert list(settled(server, ids).values()) == [""] * 7


def test_turned_off_devices_that_were_enrolled_before_are_sent_to(start_server: StartServer, tmp_path: Path) -> None:
    tokens = [magic_push_token(word) for word in ("toobig", "expo", "after30s")]
    first = start_server("--data", str(tmp_path))
    send(first, *tokens)
    first.kill()

    second = start_server("--data", str(tmp_path), EXPO_GATEWAY_EMULATOR__MAGIC_TOKENS="false")

    assert list(settled(second, send(second, *tokens)).values()) == [""] * 3
