"""The judge: from one push that APNs accepts, each case spoils one thing."""

import pytest

from expo_gateway.emulators.apns_answers import ApnsReason, Refusal
from expo_gateway.emulators.apns_provider_tokens import ProviderToken
from expo_gateway.emulators.apns_rules import TOPIC_SUFFIXES, ApnsRequest, judge
from expo_gateway.emulators.virtual_devices import VirtualDevice
from tests.emulators.apns_client import APNS_ID, BODY, TOPIC, push_headers

TOKEN = ProviderToken(key_id="KEY1234567", team_id="TEAM123456", issued_at=1_800_000_000)


def request(
    changes: dict[str, str | None] | None = None, *, body: bytes = BODY, repeated: str | None = None
) -> ApnsRequest:
    """A push that is accepted, with `changes` (None: without that header) and one header `repeated`."""
    headers = push_headers("bearer x") | (changes or {})
    fields = [(name, value) for name, value in headers.items() if value is not None]
    if repeated is not None:
        fields.append((repeated, dict(fields)[repeated]))
    return ApnsRequest(headers=tuple(fields), fields=dict(fields), body=body, received_at=0.0)


def reason(
    pushed: ApnsRequest,
    *,
    token: ProviderToken | ApnsReason = TOKEN,
    device: VirtualDevice | None = None,
    known_only: bool = False,
) -> ApnsReason | None:
    refusal = judge(pushed, token=token, device=device, known_only=known_only)
    return refusal.reason if refusal else None


def test_a_push_with_every_header_is_accepted() -> None:
    assert judge(request(), token=TOKEN, device=None, known_only=False) is None


def test_a_push_with_the_required_headers_only_is_accepted() -> None:
    optional = ("apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id")

    assert reason(request(dict.fromkeys(optional))) is None


@pytest.mark.parametrize(("changes", "expected"), [
    ({":method": "GET"}, ApnsReason.METHOD_NOT_ALLOWED),
    ({":path": "/3/device/"}, ApnsReason.MISSING_DEVICE_TOKEN),
    ({":path": "/3/device"}, ApnsReason.MISSING_DEVICE_TOKEN),
    ({":path": "/"}, ApnsReason.BAD_PATH),
    ({":path": "/2/device/" + "0f" * 32}, ApnsReason.BAD_PATH),
    ({":path": "/3/device/" + "0f" * 32 + "/x"}, ApnsReason.BAD_PATH),
    ({"apns-topic": None}, ApnsReason.MISSING_TOPIC),
    ({"apns-topic": ""}, ApnsReason.MISSING_TOPIC),
    ({"apns-topic": "com.example.my app"}, ApnsReason.BAD_TOPIC),
    ({"apns-topic": "<com.example.app>"}, ApnsReason.BAD_TOPIC),
    ({"apns-topic": "x" * 256}, ApnsReason.BAD_TOPIC),
    ({"apns-push-type": "Alert"}, ApnsReason.INVALID_PUSH_TYPE),
    ({"apns-push-type": "silent"}, ApnsReason.INVALID_PUSH_TYPE),
    ({"apns-priority": "7"}, ApnsReason.BAD_PRIORITY),
    ({"apns-priority": "high"}, ApnsReason.BAD_PRIORITY),
    ({"apns-priority": ""}, ApnsReason.BAD_PRIORITY),
    ({"apns-push-type": "background", "apns-priority": "10"}, ApnsReason.BAD_PRIORITY),
    ({"apns-push-type": "background", "apns-priority": "1"}, ApnsReason.BAD_PRIORITY),
    ({"apns-expiration": "-1"}, ApnsReason.BAD_EXPIRATION_DATE),
    ({"apns-expiration": "1.5"}, ApnsReason.BAD_EXPIRATION_DATE),
    ({"apns-expiration": "tomorrow"}, ApnsReason.BAD_EXPIRATION_DATE),
    ({"apns-expiration": ""}, ApnsReason.BAD_EXPIRATION_DATE),
    ({"apns-collapse-id": "x" * 65}, ApnsReason.BAD_COLLAPSE_ID),
    ({"apns-id": "1"}, ApnsReason.BAD_MESSAGE_ID),
    ({"apns-id": APNS_ID.replace("-", "")}, ApnsReason.BAD_MESSAGE_ID),
    ({":path": "/3/device/" + "0f" * 31}, ApnsReason.BAD_DEVICE_TOKEN),
    ({":path": "/3/device/" + "0f" * 32 + "0"}, ApnsReason.BAD_DEVICE_TOKEN),
    ({":path": "/3/device/" + "0g" * 32}, ApnsReason.BAD_DEVICE_TOKEN),
    ({":path": "/3/device/" + "0f" * 101}, ApnsReason.BAD_DEVICE_TOKEN),
    ({":path": "/3/device/ExponentPushToken%5Bx%5D"}, ApnsReason.BAD_DEVICE_TOKEN),
])  # fmt: skip
def test_one_wrong_header_is_refused(changes: dict[str, str | None], expected: ApnsReason) -> None:
    assert reason(request(changes)) is expected


@pytest.mark.parametrize("changes", [
    {"apns-priority": "1"},
    {"apns-priority": "5"},
    {"apns-push-type": "background", "apns-priority": "5"},
    {"apns-push-type": "background", "apns-priority": None},
    {"apns-expiration": "1800000000"},
    {"apns-collapse-id": "x" * 64},
    {"apns-id": APNS_ID.upper()},
    {":path": "/3/device/" + "0F" * 32},
    {":path": "/3/device/" + "0f" * 80},
])  # fmt: skip
def test_what_apple_allows_is_accepted(changes: dict[str, str | None]) -> None:
    assert reason(request(changes)) is None


@pytest.mark.parametrize("header", ["apns-topic", "apns-id", "authorization"])
def test_a_repeated_header_is_refused(header: str) -> None:
    assert reason(request(repeated=header)) is ApnsReason.DUPLICATE_HEADERS


@pytest.mark.parametrize("worth", [
    ApnsReason.MISSING_PROVIDER_TOKEN,
    ApnsReason.INVALID_PROVIDER_TOKEN,
    ApnsReason.EXPIRED_PROVIDER_TOKEN,
    ApnsReason.UNRELATED_KEY_ID_IN_TOKEN,
    ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES,
])  # fmt: skip
def test_a_provider_token_that_doesnt_count_is_refused(worth: ApnsReason) -> None:
    assert reason(request(), token=worth) is worth


@pytest.mark.parametrize(("environment", "host", "expected"), [
    ("production", "api.push.apple.com", None),
    ("sandbox", "api.push.apple.com", ApnsReason.BAD_ENVIRONMENT_KEY_IN_TOKEN),
    ("production", "api.sandbox.push.apple.com", ApnsReason.BAD_ENVIRONMENT_KEY_IN_TOKEN),
    ("sandbox", "api.sandbox.push.apple.com:2197", None),
])  # fmt: skip
def test_a_key_of_one_environment_counts_there_only(environment: str, host: str, expected: ApnsReason | None) -> None:
    token = ProviderToken(
        key_id="KEY1234567",
        team_id="TEAM123456",
        issued_at=0,
        environment="sandbox" if environment == "sandbox" else "production",
    )

    assert reason(request({":authority": host}), token=token) is expected


def test_a_key_of_some_topics_counts_for_those_only() -> None:
    token = ProviderToken(key_id="KEY1234567", team_id="TEAM123456", issued_at=0, topics=frozenset({TOPIC}))
    voip: dict[str, str | None] = {"apns-push-type": "voip", "apns-topic": f"{TOPIC}.voip"}

    assert reason(request(voip), token=token) is None
    assert reason(request({"apns-topic": "com.example.other"}), token=token) is ApnsReason.TOPIC_DISALLOWED


@pytest.mark.parametrize(("push_type", "suffix"), TOPIC_SUFFIXES.items())
def test_each_push_type_has_its_kind_of_topic(push_type: str, suffix: str) -> None:
    fitting = request({"apns-push-type": push_type, "apns-topic": TOPIC + suffix, "apns-priority": "5"})
    other = ".push-type.other" if suffix else ".voip"
    foreign = request({"apns-push-type": push_type, "apns-topic": TOPIC + other, "apns-priority": "5"})

    assert reason(fitting) is None
    assert fitting.app_id == TOPIC
    assert reason(foreign) is ApnsReason.INVALID_PUSH_TYPE


def test_an_app_whose_bundle_id_ends_like_a_suffix_gets_alerts() -> None:
    assert reason(request({"apns-topic": "com.example.voip"}), device=VirtualDevice("com.example.voip")) is None


def test_without_a_push_type_the_topic_tells_the_app() -> None:
    assert request({"apns-push-type": None, "apns-topic": TOPIC + ".voip"}).app_id == TOPIC
    assert request({"apns-push-type": None}).app_id == TOPIC


@pytest.mark.parametrize(("body", "expected"), [
    (b"", ApnsReason.PAYLOAD_EMPTY),
    (b"hello", ApnsReason.PAYLOAD_EMPTY),
    (b"[]", ApnsReason.PAYLOAD_EMPTY),
    (b'{"aps":', ApnsReason.PAYLOAD_EMPTY),
    (b'"\xff"', ApnsReason.PAYLOAD_EMPTY),
    (b"{}", None),
    (b'{"a":"%s"}' % (b"x" * 4088), None),
    (b'{"a":"%s"}' % (b"x" * 4089), ApnsReason.PAYLOAD_TOO_LARGE),
])  # fmt: skip
def test_the_payload_is_a_json_object_of_4096_bytes_at_most(body: bytes, expected: ApnsReason | None) -> None:
    assert reason(request(body=body)) is expected


@pytest.mark.parametrize(("size_bytes", "expected"), [(5120, None), (5121, ApnsReason.PAYLOAD_TOO_LARGE)])
@pytest.mark.parametrize("push_type", ["voip", None])
def test_a_voip_payload_may_have_5120_bytes(
    size_bytes: int, expected: ApnsReason | None, push_type: str | None
) -> None:
    body = b'{"a":"%s"}' % (b"x" * (size_bytes - 8))

    assert reason(request({"apns-push-type": push_type, "apns-topic": f"{TOPIC}.voip"}, body=body)) is expected


def test_a_device_nobody_knows_is_refused_when_only_known_ones_count() -> None:
    assert reason(request(), known_only=True) is ApnsReason.BAD_DEVICE_TOKEN
    assert reason(request(), known_only=True, device=VirtualDevice(TOPIC)) is None


@pytest.mark.parametrize("host", ["api.sandbox.push.apple.com", "api.development.push.apple.com:2197"])
def test_a_device_of_the_other_environment_is_refused(host: str) -> None:
    sandbox = request({":authority": host})

    assert reason(sandbox, device=VirtualDevice(TOPIC)) is ApnsReason.BAD_DEVICE_TOKEN
    assert reason(sandbox, device=VirtualDevice(TOPIC, sandbox=True)) is None
    assert reason(request(), device=VirtualDevice(TOPIC, sandbox=True)) is ApnsReason.BAD_DEVICE_TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1:4430", "localhost", "api.push.apple.com", "[::1]:443", "apns.internal"])
def test_a_host_that_isnt_apples_sandbox_is_production(host: str) -> None:
    assert not request({":authority": host}).is_sandbox
    assert not request({":authority": None, "host": host}).is_sandbox


def test_the_host_header_says_the_environment_when_there_is_no_authority() -> None:
    assert request({":authority": None, "host": "api.development.push.apple.com"}).is_sandbox


def test_a_device_of_another_app_is_refused() -> None:
    assert reason(request(), device=VirtualDevice("com.example.other")) is ApnsReason.DEVICE_TOKEN_NOT_FOR_TOPIC


def test_an_unregistered_device_is_gone_since_a_time_in_milliseconds() -> None:
    device = VirtualDevice(TOPIC, unregistered_at=1_800_000_000.5)

    refusal = judge(request(), token=TOKEN, device=device, known_only=False)

    assert refusal == Refusal(reason=ApnsReason.UNREGISTERED, timestamp_ms=1_800_000_000_500)


@pytest.mark.parametrize(("first", "second", "expected"), [
    ({":method": "GET"}, {":path": "/"}, ApnsReason.METHOD_NOT_ALLOWED),
    ({":path": "/"}, {"apns-topic": None}, ApnsReason.BAD_PATH),
    ({"apns-topic": None}, {"apns-priority": "7"}, ApnsReason.MISSING_TOPIC),
    ({"apns-priority": "7"}, {":path": "/3/device/x"}, ApnsReason.BAD_PRIORITY),
])  # fmt: skip
def test_of_two_faults_the_one_that_is_checked_first_is_told(
    first: dict[str, str | None], second: dict[str, str | None], expected: ApnsReason
) -> None:
    assert reason(request(first | second)) is expected
