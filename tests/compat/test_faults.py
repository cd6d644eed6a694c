"""Every fault of docs/testing.md, added by the control API and met by unmodified Node and Python SDKs.

What their callers get: a ticket, a receipt, or an error of the SDK. That the acts look right on the wire is tested at
the emulators.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import pytest

from expo_gateway.dispatcher.holds import BREAKER_FIRST_S
from expo_gateway.emulators.fault_acts import APNS_REASONS, FCM_ERRORS, FaultAct
from expo_gateway.testing import gateway
from tests.compat.fault_scene import ALL_SDKS, Scene, Sdk, SdkError, open_sdk, run_of
from tests.conftest import Server

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
# Those of Apple's reasons with what docs/errors.md says of them: the receipt, and whether it is tried again.
_ROW = re.compile(r"^\| `(\w+)` \| \d+ \| (\w+) \| (yes|no) \|", re.MULTILINE)
REASONS = {reason: (receipt, again == "yes") for reason, receipt, again in _ROW.findall(ERRORS.read_text())}
CODES = {
    "UNREGISTERED": "DeviceNotRegistered",
    "INVALID_ARGUMENT": "DeviceNotRegistered",
    "MESSAGE_TOO_BIG": "MessageTooBig",
    "SENDER_ID_MISMATCH": "MismatchSenderId",
    "THIRD_PARTY_AUTH_ERROR": "InvalidCredentials",
    "ACCESS_TOKEN_EXPIRED": "InvalidCredentials",
    "PERMISSION_DENIED": "InvalidCredentials",
    "NOT_FOUND": "ProviderError",
    "QUOTA_EXCEEDED": "MessageRateExceeded",
    "RESOURCE_EXHAUSTED": "MessageRateExceeded",
    "INTERNAL": "ProviderError",
    "UNAVAILABLE": "ProviderError",
    "UNSPECIFIED_ERROR": "ProviderError",
    "BAD_GATEWAY": "ProviderError",
}

IOS, ANDROID = "ios", "android"
PAGE = "<html>502 Bad Gateway</html>"
Fault = dict[str, Any]


def at(platform: str, receipt: str, act: str, **parts: Any) -> Any:
    """A push to that platform has this receipt as long as the fault stands."""
    shown = "-".join([act, *(f"{name}={value}" for name, value in parts.items())])
    return pytest.param(platform, receipt, {"act": act, **parts}, id=f"{platform}-{shown}")


# Refused at once, for good.
REFUSALS = [
    *[at(IOS, said, "apns_reason", reason=reason) for reason, (said, again) in REASONS.items() if not again],
    *[at(ANDROID, said, "fcm_error", code=code) for code, said in CODES.items() if "ProviderE" not in said],
    at(ANDROID, "ProviderError", "fcm_error", code="NOT_FOUND"),
    at(IOS, "DeviceNotRegistered", "apns_reason", reason="Unregistered", timestamp_ms=4_102_444_800_000),
    at(IOS, "DeveloperError", "apns_reason", reason="BadTopic", split_at=5),
    at(IOS, "DeveloperError", "apns_reason", reason="BadTopic", body=False),
    at(IOS, "MessageTooBig", "answer", status=413, reason="PayloadTooLarge"),
    at(ANDROID, "DeveloperError", "answer", status=400, body=PAGE, headers={"content-type": "text/html"}),
    at(ANDROID, "InvalidCredentials", "oauth_error"),
    at(ANDROID, "InvalidCredentials", "oauth_error", error="unauthorized_client", status=401, description="no"),
]
REFUSALS = [one for one in REFUSALS if one.values[2].get("code") not in ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED")]

# Tried again, and fine as soon as the trouble is over.
TROUBLES = [
    *[at(IOS, said, "apns_reason", reason=reason) for reason, (said, again) in REASONS.items() if again],
    *[at(ANDROID, CODES[code], "fcm_error", code=code) for code in ("INTERNAL", "UNAVAILABLE", "UNSPECIFIED_ERROR")],
    at(ANDROID, "MessageRateExceeded", "fcm_error", code="QUOTA_EXCEEDED"),
    at(ANDROID, "MessageRateExceeded", "fcm_error", code="RESOURCE_EXHAUSTED", retry_after_s=5),
    at(ANDROID, "ProviderError", "fcm_error", code="BAD_GATEWAY"),
    at(IOS, "ProviderError", "apns_reason", reason="ServiceUnavailable", body=False),
    at(IOS, "ProviderError", "apns_reason", reason="ServiceUnavailable", split_at=4),
    at(IOS, "ProviderError", "answer", status=502, body=PAGE),
    at(ANDROID, "ProviderError", "answer", status=502, body=PAGE, headers={"retry-after": "3"}),
    at(IOS, "ProviderError", "disconnect"),
    at(IOS, "ProviderError", "disconnect", reset=True),
    at(ANDROID, "ProviderError", "disconnect"),
    at(ANDROID, "ProviderError", "disconnect", reset=True),
    at(IOS, "ProviderError", "outage"),
    at(ANDROID, "ProviderError", "outage"),
    at(IOS, "ProviderError", "rst_stream", error_code=2),
    at(ANDROID, "ProviderError", "rst_stream", error_code=2),
    at(IOS, "ProviderError", "refused_stream"),
    at(ANDROID, "ProviderError", "refused_stream"),
    at(IOS, "ProviderError", "goaway", graceful=False),
    at(ANDROID, "ProviderError", "goaway", graceful=False),
    at(ANDROID, "ProviderError", "oauth_error", error="internal_failure", status=503),
    at(ANDROID, "ProviderError", "disconnect", provider="oauth"),
    at(ANDROID, "ProviderError", "outage", provider="oauth"),
    at(ANDROID, "ProviderError", "answer", provider="oauth", status=200, body=PAGE),
]

# Nobody notices but a clock, or a capture.
HARMLESS = [
    at(IOS, "ok", "goaway"),
    at(IOS, "ok", "goaway", reason="IdleTimeout", graceful=True),
    at(IOS, "ok", "stream_limit"),
    at(IOS, "ok", "stream_limit", max_streams=3),
    at(IOS, "ok", "small_window"),
    at(IOS, "ok", "answer", status=200),
    at(ANDROID, "ok", "answer", status=200),
    at(ANDROID, "ok", "latency", provider="oauth", delay={"shape": "fixed", "delay_s": 0.05}),
]

LATE_S = 0.05
SHAPES = [
    {"shape": "fixed", "delay_s": LATE_S},
    {"shape": "uniform", "min_s": LATE_S, "max_s": 2 * LATE_S},
    {"shape": "log_normal", "median_s": 2 * LATE_S, "sigma": 0.1, "max_s": 4 * LATE_S},
]


@pytest.fixture(scope="session")
def sdks(server: Server) -> Iterator[dict[str, Sdk]]:
    """Those that a test has asked for, kept for the others: each sends to one base URL for its whole life."""
    with ExitStack() as stack, gateway(url=server.url) as started:

        class Opened(dict[str, Sdk]):
            def __missing__(self, name: str) -> Sdk:
                return self.setdefault(name, stack.enter_context(open_sdk(name, run_of(name, started))))

        yield Opened()


@pytest.fixture(params=ALL_SDKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(name: str, sdks: dict[str, Sdk], server: Server) -> Iterator[Scene]:
    """In a new run, whose clock stands still."""
    with gateway(url=server.url) as started, run_of(name, started) as run:
        run.clock.freeze()
        yield Scene(sdk=sdks[name], run=run)


two_sdks = pytest.mark.parametrize("name", ["python", "expo_sdk_7"])
# Where what is looked at took place long before the SDK asked.
one_sdk = pytest.mark.parametrize("name", ["expo_sdk_7"])


def test_every_act_every_reason_and_every_code_is_among_these_tests() -> None:
    faults = [one.values[2] for one in (*REFUSALS, *TROUBLES, *HARMLESS)]
    acts = {act.__struct_config__.tag for act in get_args(FaultAct)}

    assert {fault["reason"] for fault in faults if fault["act"] == "apns_reason"} == set(APNS_REASONS)
    assert {fault["code"] for fault in faults if fault["act"] == "fcm_error"} == set(FCM_ERRORS)
    assert acts - {fault["act"] for fault in faults} == {"hang", "expo", "slow", "cut"}


# -- at Apple and Google -----------------------------------------------------------------------------------------------


@two_sdks
@pytest.mark.parametrize(("platform", "receipt", "fault"), REFUSALS)
def test_a_refusal_is_the_receipt(scene: Scene, platform: str, receipt: str, fault: Fault) -> None:
    added = scene.run.fail(**fault)

    ticket = scene.send(platform)

    assert scene.tried(ticket).state == "failed"
    assert scene.receipt(ticket) == receipt
    assert added.acted() >= 1


@one_sdk
@pytest.mark.parametrize(("platform", "receipt", "fault"), TROUBLES)
def test_trouble_that_lasts_is_the_receipt_when_the_time_is_over(
    scene: Scene, platform: str, receipt: str, fault: Fault
) -> None:
    scene.run.fail(**fault)

    ticket = scene.send(platform)

    while_it_is_tried = scene.tried(ticket), scene.receipt(ticket)
    assert scene.settled(ticket).state == "failed"
    assert scene.receipt(ticket) == receipt
    assert while_it_is_tried[1] == ("" if while_it_is_tried[0].state == "retrying" else receipt)


@two_sdks
@pytest.mark.parametrize(("platform", "receipt", "fault"), TROUBLES)
def test_trouble_that_passes_costs_time_only(scene: Scene, platform: str, receipt: str, fault: Fault) -> None:
    added = scene.run.fail(**fault)
    ticket = scene.send(platform, ttl=600)
    scene.tried(ticket)

    added.remove()

    assert scene.settled(ticket).state == "delivered"
    assert scene.receipt(ticket) == "ok"


@two_sdks
@pytest.mark.parametrize(("platform", "receipt", "fault"), HARMLESS)
def test_what_does_no_harm_is_not_noticed(scene: Scene, platform: str, receipt: str, fault: Fault) -> None:
    added = scene.run.fail(**fault)

    tickets = scene.sdk.send(*[{"to": scene.phone(platform), "title": f"Hello {n}"} for n in range(5)])

    ids = [str(ticket["id"]) for ticket in tickets]
    for id_ in ids:
        scene.tried(id_)
    assert [one["status"] for one in scene.sdk.receipts(ids).values()] == [receipt] * 5
    assert added.acted() >= 1


@two_sdks
@pytest.mark.parametrize("platform", [IOS, ANDROID])
@pytest.mark.parametrize("delay", SHAPES, ids=lambda delay: delay["shape"])
def test_latency_is_how_long_the_attempt_takes(scene: Scene, platform: str, delay: dict[str, Any]) -> None:
    scene.run.clock.resume()
    scene.run.fail("latency", delay=delay)

    ticket = scene.send(platform)

    assert scene.tried(ticket).state == "delivered"
    (attempt,) = scene.run.delivery(ticket).attempts
    assert attempt["ended_at"] - attempt["started_at"] >= LATE_S
    assert scene.receipt(ticket) == "ok"


@two_sdks
@pytest.mark.parametrize("platform", [IOS, ANDROID])
def test_silence_leaves_the_delivery_without_a_receipt(scene: Scene, platform: str) -> None:
    scene.run.fail("hang")

    ticket = scene.send(platform)

    assert scene.run.assert_sent(state="in_flight", ticket=ticket)
    assert scene.receipt(ticket) == ""


# -- how often, and whose ----------------------------------------------------------------------------------------------


def outcomes(scene: Scene, pushes: int, platform: str = IOS) -> list[str]:
    """The receipts of so many pushes, one after the other."""
    found = []
    for _ in range(pushes):
        ticket = scene.send(platform)
        scene.tried(ticket)
        found.append(scene.receipt(ticket))
    return found


def test_a_fault_acts_at_most_so_often(scene: Scene) -> None:
    scene.run.fail("apns_reason", reason="BadTopic", times=2)

    assert outcomes(scene, 4) == ["DeveloperError", "DeveloperError", "ok", "ok"]


def test_a_fault_acts_on_each_nth_request(scene: Scene) -> None:
    scene.run.fail("fcm_error", code="MESSAGE_TOO_BIG", every=3)

    assert outcomes(scene, 6, ANDROID) == ["ok", "ok", "MessageTooBig"] * 2


def test_dice_fall_the_same_way_for_everybody(scene: Scene) -> None:
    scene.run.fail("apns_reason", reason="BadTopic", probability=0.5, seed=7)

    found = ["" if receipt == "ok" else "x" for receipt in outcomes(scene, 8)]

    assert found == ["x", "x", "", "x", "", "x", "x", ""]


def test_an_outage_lasts_as_long_as_it_says(scene: Scene) -> None:
    scene.run.fail("outage", for_s=300)
    tickets = [scene.send(platform, ttl=600) for platform in (IOS, ANDROID)]
    assert {scene.tried(ticket).state for ticket in tickets} == {"retrying"}

    for _ in range(3):
        scene.run.clock.advance(100)

    assert {scene.settled(ticket).state for ticket in tickets} == {"delivered"}
    assert [scene.receipt(ticket) for ticket in tickets] == ["ok", "ok"]


def test_a_fault_that_begins_later_is_not_there_yet(scene: Scene) -> None:
    scene.run.fail("apns_reason", reason="BadTopic", from_at=scene.run.clock.now() + 60)
    before = outcomes(scene, 1)

    scene.run.clock.advance(60)

    assert (before, outcomes(scene, 1)) == (["ok"], ["DeveloperError"])


@pytest.mark.parametrize("part", ["push_token", "device_token", "project", "platform", "provider"])
def test_a_fault_is_for_those_whom_it_names(scene: Scene, part: str) -> None:
    meant = scene.run.devices.make(IOS, project="@acme/shop")
    scene.tokens["meant"] = meant.push_token
    named = {"platform": IOS, "provider": "apns"}.get(part) or getattr(meant, part)
    scene.run.fail("answer", status=400, **{part: named})

    other = ANDROID if part in ("platform", "provider") else IOS
    found = [(outcomes(scene, 1, platform), platform) for platform in ("meant", other)]

    assert found == [(["DeveloperError"], "meant"), (["ok"], other)]


def test_a_credential_that_was_refused_is_asked_again_when_its_time_is_over(scene: Scene) -> None:
    scene.run.fail("oauth_error", times=1)
    refused = outcomes(scene, 2, ANDROID)

    scene.run.clock.advance(BREAKER_FIRST_S)

    assert refused == ["InvalidCredentials"] * 2, "the second by the breaker"
    assert outcomes(scene, 1, ANDROID) == ["ok"]


# -- at the Expo API ---------------------------------------------------------------------------------------------------

CUT = (0, "")


@pytest.mark.parametrize(
    ("act", "status", "code"),
    [
        ({"status": 400}, 400, "VALIDATION_ERROR"),
        ({"status": 401}, 401, "UNAUTHORIZED"),
        ({"status": 403}, 403, "UNAUTHORIZED"),
        ({"status": 404}, 404, "NOT_FOUND"),
        ({"status": 429}, 429, "TOO_MANY_REQUESTS"),
        ({"status": 429, "retry_after_s": 3}, 429, "TOO_MANY_REQUESTS"),
        ({"status": 500}, 500, "INTERNAL_SERVER_ERROR"),
        ({"status": 502, "text": PAGE}, 502, ""),
        ({"status": 503}, 503, "SERVICE_UNAVAILABLE"),
        ({"status": 503, "text": "upstream connect error"}, 503, ""),
        ({"status": 422, "code": "MINE", "message": "My own words."}, 422, "MINE"),
    ],
    ids=str,
)
def test_a_refused_request_is_the_error_of_the_sdk_and_nothing_was_accepted(
    scene: Scene, act: dict[str, Any], status: int, code: str
) -> None:
    scene.run.fail("expo", **act)

    with pytest.raises(SdkError) as raised:
        scene.send(IOS)

    assert (raised.value.status, raised.value.code) == (status, code)
    assert (act.get("text") or act.get("message") or "") in raised.value.text
    scene.run.assert_not_sent()


def test_a_429_that_passes_is_hidden_by_those_sdks_that_try_again(scene: Scene, name: str) -> None:
    added = scene.run.fail("expo", status=429, times=1)

    if name == "python":
        with pytest.raises(SdkError):
            scene.send(IOS)

    assert scene.tried(scene.send(IOS)).state == "delivered"
    assert added.acted() == 1
    assert len(scene.run.sent()) == 1


def test_a_slow_answer_is_waited_for(scene: Scene) -> None:
    added = scene.run.fail("slow", delay_s=LATE_S)

    assert scene.tried(scene.send(IOS)).state == "delivered"
    assert added.acted() == 1


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_a_cut_is_an_error_of_the_connection_whatever_was_accepted(scene: Scene, when: str, accepted: int) -> None:
    scene.run.fail("cut", when=when, times=1)

    with pytest.raises(SdkError) as raised:
        scene.send(IOS)

    assert raised.value.status == 0
    assert len(scene.run.sent()) == accepted
    assert outcomes(scene, 1) == ["ok"]
