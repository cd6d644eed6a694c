"""The body of /push/send: what it means, and with which words it is refused."""

import json
from typing import Any

import pytest

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.apns import build_apns_request
from expo_gateway.protocol.device import Device
from expo_gateway.protocol.fcm import build_fcm_request
from expo_gateway.protocol.message import MAX_DEPTH, PushMessage, decode_json, decode_send_request

TOKEN = "ExponentPushToken[J58oHWJwFIfCiY1ZAUd8tI]"


def body(**fields: object) -> bytes:
    return json.dumps({"to": TOKEN, **fields}).encode()


def raw(fields: str) -> bytes:
    """A body with JSON that Python would not write."""
    return f'{{"to":"{TOKEN}",{fields}}}'.encode()


def only(text: bytes) -> PushMessage:
    (message,) = decode_send_request(text).messages
    return message


def refusal(text: bytes) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        decode_send_request(text)
    return refused.value


# -- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "as_object"),
    [
        ({"to": TOKEN}, True),
        ({"to": [TOKEN]}, False),
        ({"to": [TOKEN, TOKEN]}, False),
        ([{"to": TOKEN}], False),
        ([{"to": [TOKEN]}], False),
        ([], False),
    ],
)
def test_only_a_bare_message_with_a_string_is_answered_bare(sent: object, as_object: bool) -> None:
    """clients.md, points 1 to 3."""
    assert decode_send_request(json.dumps(sent).encode()).answers_object is as_object


def test_recipients_are_flattened_in_the_order_of_messages_and_of_their_to() -> None:
    sent = [{"to": "a", "title": "1"}, {"to": ["b", "c", "b"], "title": "2"}, {"to": [], "title": "3"}, {"to": "d"}]

    request = decode_send_request(json.dumps(sent).encode())

    assert [(message.title, token) for message, token in request.recipients()] == [
        ("1", "a"),
        ("2", "b"),
        ("2", "c"),
        ("2", "b"),
        (None, "d"),
    ]


def test_no_messages_are_no_recipients() -> None:
    assert list(decode_send_request(b"[]").recipients()) == []


def test_an_empty_to_is_no_recipient() -> None:
    assert list(decode_send_request(b'{"to":[]}').recipients()) == []


def test_white_space_around_the_body_is_ignored() -> None:
    assert only(b"\r\n\t " + body(title="x") + b" \n").title == "x"


# -- fields -----------------------------------------------------------------------------------------------------------


def test_null_is_absent() -> None:
    """clients.md, point 11: Kotlin writes every null, novu `sound: null`."""
    fields = "title subtitle body data ttl expiration priority sound badge interruptionLevel channelId icon richContent"
    fields += " categoryId mutableContent collapseId tag threadId targetContentId relevanceScore filterCriteria"

    message = only(body(**dict.fromkeys(fields.split()), contentAvailable=None, _contentAvailable=None))

    assert (message.data_object(), message.sound, message.title, message.wakes_app) == (None, None, None, False)


@pytest.mark.parametrize(
    "name", ["_displayInForeground", "displayInForeground", "category", "_category", "toString", ""]
)
@pytest.mark.parametrize("value", [True, None, {"a": [1]}, "x"])
def test_an_unknown_field_is_ignored(name: str, value: object) -> None:
    assert only(body(title="x", **{name: value})).title == "x"


@pytest.mark.parametrize(
    ("fields", "wakes"),
    [
        ({"contentAvailable": True}, True),
        ({"_contentAvailable": True}, True),
        ({"contentAvailable": False, "_contentAvailable": True}, False),
        ({"contentAvailable": True, "_contentAvailable": False}, True),
        ({"contentAvailable": None, "_contentAvailable": True}, True),
        ({}, False),
    ],
)
def test_content_available_wins_over_its_old_name(fields: dict[str, Any], wakes: bool) -> None:
    assert only(body(**fields)).wakes_app is wakes


def test_the_last_of_two_equal_keys_counts() -> None:
    message = only(raw('"title":"first","title":"last","data":{"a":1,"a":2}'))

    assert (message.title, message.data_object()) == ("last", {"a": 2})


@pytest.mark.parametrize("text", ["", "ä" * 5000, "\u0000", "\u2028\U0001f600", '"\\/\b\f\n\r\t'])
def test_any_text_comes_through(text: str) -> None:
    assert only(body(title=text, data={"text": text})).data_object() == {"text": text}


def test_data_keeps_the_order_of_its_keys() -> None:
    assert list(only(body(data={"z": 1, "a": 2, "m": 3})).data_object() or ()) == ["z", "a", "m"]


# -- JSON that JavaScript reads and Python's parsers do not ------------------------------------------------------------


@pytest.mark.parametrize("field", ['"title":"\\ud800"', '"data":{"x":"\\ud800"}', '"data":{"\\udfff":1}'])
def test_a_lone_surrogate_becomes_the_replacement_character(field: str) -> None:
    message = only(raw(field))

    assert "\ufffd" in str([message.title, message.data_object()])


def test_a_surrogate_pair_is_one_character() -> None:
    assert only(raw('"title":"\\ud83d\\ude00"')).title == "\U0001f600"


@pytest.mark.parametrize("field", [b'"title":"\xff"', b'"data":{"x":"\xc3"}', b'"data":{"x":"\xed\xa0\x80"}'])
def test_broken_utf_8_becomes_the_replacement_character(field: bytes) -> None:
    message = only(b'{"to":"x",' + field + b"}")

    assert "\ufffd" in str([message.title, message.data_object()])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 30, "9" * 5000, "-" + "9" * 5000, "0.1e-400"])
def test_data_takes_numbers_beyond_a_double(number: str, iphone: Device) -> None:
    message = only(raw(f'"data":{{"x":{number}}}'))

    assert b'"body":{"x":' in build_apns_request(message, iphone, apns_id="x", accepted_at=0.0).payload


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
@pytest.mark.parametrize("field", ["badge", "ttl", "expiration", "relevanceScore"])
def test_a_field_refuses_numbers_beyond_a_double(field: str, number: str) -> None:
    assert refusal(raw(f'"{field}":{number}')).message == f'"{field}": Number must be finite.'


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**64), 10**30, 0, -1, 1.5])
@pytest.mark.parametrize("field", ["badge", "ttl", "expiration", "relevanceScore"])
def test_every_finite_number_can_be_sent(field: str, number: float, iphone: Device, android_phone: Device) -> None:
    message = only(body(**{field: number}))

    assert build_apns_request(message, iphone, apns_id="x", accepted_at=0.0)
    assert build_fcm_request(message, android_phone, accepted_at=0.0, now=0.0)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [b"", b" ", b"{", b"]", b"{'to':'x'}", b'{"to":"x"} x', b'{"to":"x",}', b"nul", b"\x00"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    refused = refusal(text)

    assert (refused.code, refused.status) == ("VALIDATION_ERROR", 400)
    assert refused.message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ['"badge":%s', '"data":{"x":%s}', '"unknown":%s'])
def test_pythons_own_constants_are_no_json(field: str, constant: str) -> None:
    assert f"{constant} is not a JSON value" in refusal(raw(field % constant)).message


@pytest.mark.parametrize("text", ["01", "1,", '"a\nb"', '"\\q"', "/**/1", "+1", ".5", "1.", "'a'", "nope"])
def test_broken_json_inside_data_is_refused(text: str) -> None:
    assert refusal(raw(f'"data":{{"x":{text}}}')).code == "VALIDATION_ERROR"


@pytest.mark.parametrize("field", ["data", "unknown", "richContent", "title"])
@pytest.mark.parametrize("levels", [10_000, 100_000])
def test_nesting_beyond_the_limit_is_refused(field: str, levels: int) -> None:
    refused = refusal(raw(f'"{field}":' + '{"x":[' * levels + "]}" * levels))

    assert (refused.code, refused.status) == ("VALIDATION_ERROR", 400)


def nested_data(levels: int) -> bytes:
    return raw('"data":' + '{"x":' * levels + "1" + "}" * levels)


@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 1, MAX_DEPTH])
def test_data_nested_up_to_the_limit_can_be_written_again(levels: int, iphone: Device, android_phone: Device) -> None:
    message = only(nested_data(levels))

    assert build_apns_request(message, iphone, apns_id="x", accepted_at=0.0)
    assert build_fcm_request(message, android_phone, accepted_at=0.0, now=0.0)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 900, 1_100])
def test_data_nested_beyond_the_limit_is_refused(levels: int) -> None:
    assert "nested too deep" in refusal(nested_data(levels)).message


def test_brackets_in_text_are_no_nesting() -> None:
    assert only(body(data={"x": '[{\\"[' * 1000})).data_object() == {"x": '[{\\"[' * 1000}


def test_a_to_of_100_is_taken() -> None:
    assert len(list(decode_send_request(json.dumps({"to": ["x"] * 100}).encode()).recipients())) == 100


@pytest.mark.parametrize("tokens", [["x"] * 101, [1] * 101])
def test_a_to_of_101_has_the_recorded_text(tokens: list[object]) -> None:
    """Recorded with 101 × "x": before the count of recipients and before any token is looked at."""
    refused = refusal(json.dumps([{"to": tokens}]).encode())

    assert (refused.code, refused.message) == (
        "VALIDATION_ERROR",
        '"0.to": String must contain at most 100 character(s).',
    )


@pytest.mark.parametrize("sent", [[{"to": "x"}] * 101, [{"to": ["x"] * 50}, {"to": ["x"] * 50}, {"to": "x"}]])
def test_101_recipients_are_counted_over_all_messages(sent: list[object]) -> None:
    refused = refusal(json.dumps(sent).encode())

    assert (refused.code, refused.message) == (
        "PUSH_TOO_MANY_NOTIFICATIONS",
        "You can send a maximum of 100 notifications per request (received 101); divide your requests.",
    )


def test_a_wrong_field_is_told_before_the_number_of_recipients() -> None:
    assert refusal(json.dumps([{"to": "x", "title": 1}] * 101).encode()).code == "VALIDATION_ERROR"


def test_the_first_wrong_message_is_named() -> None:
    sent = [{"to": "x"}, {"to": "x", "data": []}, {"to": "x", "title": 1}]

    assert refusal(json.dumps(sent).encode()).message == '"1.data": Expected object, received array.'


def test_no_refusal_repeats_a_whole_token() -> None:
    secret = "ExponentPushToken[J58oHWJwFIfCiY1ZAUd8tI]"

    refused = refusal(json.dumps({"to": [secret, {"token": secret}], "title": [secret]}).encode())

    assert secret not in f"{refused} {refused.message}"


# -- any JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "x", "\U0001f600", [], {}, {"a": [1, {"b": None}]}])
def test_json_is_read_as_it_is(value: object) -> None:
    assert decode_json(json.dumps(value).encode()) == value


def test_a_text_nested_10000_levels_is_refused() -> None:
    with pytest.raises(RequestRefused, match="nested too deep"):
        decode_json(b"[" * 10_000 + b"]" * 10_000)


@pytest.mark.parametrize("field", ["ttl", "expiration", "badge", "relevanceScore"])
@pytest.mark.parametrize("digits", [310, 1000, 4299])
def test_a_number_that_no_double_holds_is_refused(field: str, digits: int) -> None:
    body = b'[{"to":"ExponentPushToken[x]","%s":1%s}]' % (field.encode(), b"0" * digits)

    with pytest.raises(RequestRefused, match=f'"0.{field}": Number must be finite'):
        decode_send_request(body)


def test_data_that_no_provider_takes_is_accepted_unread() -> None:
    (message,) = decode_send_request(b'{"to":"x","data":{"a":[%s[]]}}' % (b"[]," * 300_000)).messages

    assert message.is_too_big


@pytest.mark.parametrize("digits", ["9223372036854775808", "-9223372036854775809", "1" * 400])
def test_an_integer_beyond_64_bits_is_the_double_that_javascript_reads(digits: str) -> None:
    body = f'{{"to":"x","badge":{digits}}}'.encode()
    if len(digits) > 308:
        with pytest.raises(RequestRefused, match="Number must be finite"):
            decode_send_request(body)
        return

    assert decode_send_request(body).messages[0].badge == float(digits)


def test_the_tokens_are_those_of_the_places() -> None:
    request = decode_send_request(b'[{"to":["a","b"]},{"to":"c"},{"to":[]}]')

    assert request.tokens == [token for _, token in request.recipients()] == ["a", "b", "c"]
