"""Runs as a test suite uses them: many side by side, none of which touches another."""

import asyncio
from typing import Any

import httpx

from tests.gateway_scene import API, CONTROL, IPHONE, Client, gateway

RUNS, AT_ONCE = 60, 20
FROZEN_AT = 1_800_000_000.0
ANDROID = {"platform": "android"}


async def test_many_runs_have_the_same_push_tokens_and_different_faults_and_clocks() -> None:
    async with gateway(emulator={"platform": "ios"}) as http:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> dict[str, Any]:
            async with at_once:
                return await _one_test(Client(http, f"run-{number}"), number)

        receipts = await asyncio.gather(*(one(number) for number in range(RUNS)))

        reasons = [receipt.get("details", {}).get("apns", {}).get("reason") for receipt in receipts]
        assert reasons == [_reason(number) for number in range(RUNS)]
        assert (await Client(http).control("GET", "/deliveries"))["deliveries"] == []


def _reason(number: int) -> str | None:
    return ["BadDeviceToken", "TopicDisallowed", None][number % 3]


async def _one_test(run: Client, number: int) -> dict[str, Any]:
    reason, is_frozen = _reason(number), bool(number % 2)
    if reason is not None:
        act = {"type": "apns_reason", "reason": reason}
        await run.control("POST", "/faults", json={"match": {"push_token": IPHONE}, "act": act})
    if is_frozen:
        await run.control("POST", "/clock/freeze", json={"at": FROZEN_AT + number})
    ticket = await run.send(IPHONE, title=f"of {number}")
    await run.settle()
    found = await run.control("GET", "/deliveries")
    assert [one["title"] for one in found["deliveries"]] == [f"of {number}"]
    assert (found["deliveries"][0]["accepted_at"] == FROZEN_AT + number) is is_frozen
    assert len((await run.control("GET", "/captures"))["captures"]) == 1
    receipt = await run.receipt(ticket)
    assert receipt is not None
    return receipt


async def test_a_run_has_phones_of_both_kinds() -> None:
    async with gateway() as http:
        run = Client(http, "both")
        tickets = [await run.send(f"ExponentPushToken[phone-number-{number:09d}]") for number in range(8)]
        await run.settle()

        assert [await run.receipt(ticket) for ticket in tickets] == [{"status": "ok"}] * 8
        captures = (await run.control("GET", "/captures"))["captures"]
        assert {capture["provider"] for capture in captures} == {"apns", "fcm"}


async def test_a_receipt_of_one_run_is_not_known_in_another() -> None:
    async with gateway() as http:
        ticket = await Client(http, "a").send(IPHONE)
        await Client(http, "a").settle()

        assert await Client(http, "a").receipt(ticket) == {"status": "ok"}
        assert await Client(http, "b").receipt(ticket) is None
        assert await Client(http).receipt(ticket) is None


async def test_receipts_come_late_by_the_clock_of_the_run() -> None:
    async with gateway() as http:
        run = Client(http, "late")
        await run.control("PUT", "/limits", json={"receipt_delay_s": 900})
        await run.control("POST", "/clock/freeze")
        ticket = await run.send(IPHONE)
        await run.settle()
        assert await run.receipt(ticket) is None

        await run.control("POST", "/clock/advance", json={"seconds": 899})
        assert await run.receipt(ticket) is None
        await run.control("POST", "/clock/advance", json={"seconds": 1.001})
        assert await run.receipt(ticket) == {"status": "ok"}


async def test_the_rate_limit_of_a_run_rolls_with_its_clock() -> None:
    async with gateway() as http:
        run = Client(http, "limited")
        await run.control("PUT", "/limits", json={"notifications_per_second": 2})
        await run.control("POST", "/clock/freeze")
        await run.send(IPHONE)
        await run.send(IPHONE)

        refused = await http.post(f"{run.base}{API}/send", json={"to": IPHONE})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "TOO_MANY_REQUESTS")
        await Client(http).send(IPHONE)
        await run.control("POST", "/clock/advance", json={"seconds": 1})
        await run.send(IPHONE)


async def test_the_reset_of_a_run_forgets_everything_in_it() -> None:
    async with gateway() as http:
        run = Client(http, "again")
        await run.control("PUT", "/limits", json={"receipt_delay_s": 60})
        await run.control("POST", "/faults", json={"act": {"type": "apns_reason", "reason": "BadDeviceToken"}})
        await run.control("POST", "/clock/freeze", json={"at": FROZEN_AT})
        ticket = await run.send(IPHONE)
        await run.settle()

        await run.control("POST", "/reset")

        counts = await run.control("GET", "/counts")
        assert {key: counts[key] for key in ("captures", "devices", "faults")} == {
            "captures": 0,
            "devices": 0,
            "faults": 0,
        }
        assert not any(counts["deliveries"].values())
        assert (await run.control("GET", "/limits"))["receipt_delay_s"] == 0
        assert not (await run.control("GET", "/clock"))["frozen"]
        assert await run.receipt(ticket) is None


async def test_the_run_that_was_idle_for_longest_makes_room() -> None:
    async with gateway(runs={"max_runs": 2}) as http:
        for name in ("a", "b", "a", "c"):
            await Client(http, name).send(IPHONE)

        assert [run["name"] for run in (await Client(http).control("GET", "/runs"))["runs"]] == ["a", "c"]


async def test_a_run_remembers_so_many_deliveries() -> None:
    async with gateway(runs={"max_deliveries": 3}) as http:
        run = Client(http, "short")
        for number in range(5):
            await run.send(IPHONE, title=str(number))

        found = (await run.control("GET", "/deliveries"))["deliveries"]
        assert [one["title"] for one in found] == ["2", "3", "4"]


async def test_a_run_that_is_removed_while_it_delivers_ends_at_once() -> None:
    async with gateway() as http:
        run = Client(http, "held")
        await run.control("POST", "/faults", json={"act": {"type": "hang"}})
        ticket = await run.send(IPHONE)
        await run.control("GET", "/deliveries/wait", params={"state": "in_flight", "timeout_s": 5})

        assert await Client(http).control("DELETE", "/runs/held") == {"deleted": 1}
        assert await run.receipt(ticket) is None
        assert (await Client(http, "other").send(IPHONE)) != ticket


# -- the prefix --------------------------------------------------------------------------------------------------------


async def test_a_base_url_with_slashes_too_many_is_the_same_run() -> None:
    async with gateway() as http:
        for path in (f"/r/a{API}/send", f"/r//a/{API}/send/", "/r/a", "/r/a/"):
            assert (await http.post(path, json={"to": IPHONE})).status_code == 200, path

        assert [run["name"] for run in (await Client(http).control("GET", "/runs"))["runs"]] == ["a"]


async def test_a_bad_name_is_said_in_the_words_of_the_api_that_was_asked_for() -> None:
    async with gateway() as http:
        expo = await http.post(f"/r/a%20b{API}/send", json={"to": IPHONE})
        control = await http.get(f"/r/{'x' * 65}{CONTROL}/counts")

        assert (expo.status_code, expo.json()["errors"][0]["code"]) == (400, "INVALID_RUN_NAME")
        assert (control.status_code, control.json()["error"]["code"]) == (400, "INVALID_RUN_NAME")


async def test_an_unknown_path_makes_no_run() -> None:
    async with gateway() as http:
        assert (await http.get("/r/a/favicon.ico")).status_code == 404
        assert (await http.get("/r")).status_code == 400

        assert (await Client(http).control("GET", "/runs"))["runs"] == []


async def test_there_are_no_runs_beside_several_workers() -> None:
    async with gateway(server={"workers": 2}) as http:
        assert await _refused(http) == (501, "NO_RUNS", "NO_RUNS")


async def test_there_are_no_runs_when_they_are_turned_off() -> None:
    async with gateway(control={"enabled": False}) as http:
        assert await _refused(http) == (403, "NO_RUNS", "NO_RUNS")
        assert (await http.post(f"{API}/send", json={"to": IPHONE})).status_code == 200


async def test_there_are_no_runs_on_other_addresses_unless_they_are_asked_for() -> None:
    async with gateway(server={"host": "0.0.0.0"}) as http:
        assert (await _refused(http))[0] == 403
    async with gateway(server={"host": "0.0.0.0"}, control={"token": "a-token-for-tests"}) as http:
        assert (await http.post(f"/r/a{API}/send", json={"to": IPHONE})).status_code == 200
        assert (await http.get(f"/r/a{CONTROL}/counts")).status_code == 401
        bearer = {"authorization": "Bearer a-token-for-tests"}
        assert (await http.get(f"/r/a{CONTROL}/counts", headers=bearer)).status_code == 200


async def _refused(http: httpx.AsyncClient) -> tuple[int, str, str]:
    expo = await http.post(f"/r/a{API}/send", json={"to": IPHONE})
    control = await http.get(f"{CONTROL}/counts")
    assert control.status_code == expo.status_code
    return expo.status_code, expo.json()["errors"][0]["code"], control.json()["error"]["code"]
