"""Bad input, from outside: each is answered in Expo's words, and the server goes on serving."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, StartServer
from tests.e2e.wire import GET_RECEIPTS, MESSAGE, SEND, TOKEN, Reply, connected, head, post, receipt, still_serves

MIB = 1024 * 1024
BIG = {"secretsecretsecr": "x" * 5000}
VALUES: dict[str, object] = {
    "null": None,
    "boolean": True,
    "number": 1,
    "string": "x",
    "array": [1],
    "object": {"a": 1},
}
FIELDS = {
    "string": "title subtitle body channelId icon categoryId collapseId tag threadId targetContentId filterCriteria",
    "number": "ttl expiration badge relevanceScore",
    "boolean": "mutableContent contentAvailable _contentAvailable",
    "object": "data",
}
WRONG = [
    (field, kind, got)
    for kind, fields in FIELDS.items()
    for field in fields.split()
    for got in VALUES
    if got not in (kind, "null")
]


@pytest.fixture(autouse=True)
def _serves_afterwards(server: Server) -> Iterator[None]:
    yield
    still_serves(server)


def refusal(reply: Reply) -> tuple[int, str, str]:
    """(status, code, message) of a refused request, whose other members are as recorded."""
    error = reply.error
    assert list(error) == ["code", "type", "message", "isTransient"]
    assert (error["type"], reply.headers["content-type"]) == ("USER", "application/json; charset=utf-8")
    return reply.status, error["code"], error["message"]


def message_text(fields: str) -> bytes:
    """A batch of one message with JSON that Python would not write."""
    return f'[{{"to":"{TOKEN}",{fields}}}]'.encode()


def peak_memory_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


# -- bodies that are no batch -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [SEND, GET_RECEIPTS, "/--/api/v2/push/getExpoPushToken", "/--/api/v2/push/updateDeviceToken"]
)
@pytest.mark.parametrize("body", [b"", b" ", b"{", b"[", b"nul", b'{"a":}', b"\x00", b"\xff\xfe", b"to=x&body=y"])
def test_an_empty_or_malformed_body_is_a_validation_error(path: str, body: bytes, server: Server) -> None:
    status, code, message = refusal(post(server, body, path))

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize(
    "path", [SEND, GET_RECEIPTS, "/--/api/v2/push/getExpoPushToken", "/--/api/v2/push/updateDeviceToken"]
)
@pytest.mark.parametrize(
    ("body", "kind"), [(b"null", "null"), (b"true", "boolean"), (b"12", "number"), (b'"x"', "string")]
)
def test_a_scalar_is_a_validation_error(path: str, body: bytes, kind: str, server: Server) -> None:
    assert refusal(post(server, body, path)) == (400, "VALIDATION_ERROR", f"Expected object, received {kind}.")


def test_an_empty_batch_has_no_tickets(server: Server) -> None:
    reply = post(server, [])

    assert (reply.status, reply.body) == (200, b'{"data":[]}')


def test_an_empty_to_has_no_ticket(server: Server) -> None:
    assert len(post(server, [{"to": []}, {"to": TOKEN}]).json()["data"]) == 1


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("fields", ['"badge":%s', '"data":{"x":%s}'])
def test_nan_is_no_json(fields: str, constant: str, server: Server) -> None:
    assert refusal(post(server, message_text(fields % constant)))[:2] == (400, "VALIDATION_ERROR")


def test_the_last_of_duplicate_keys_counts(server: Server) -> None:
    body = f'[{{"to":"x","to":"{TOKEN}","title":1,"title":"x","data":{{"a":1,"a":2}}}}]'.encode()

    assert post(server, body).json()["data"][0]["status"] == "ok"


@pytest.mark.parametrize("path", [SEND, GET_RECEIPTS, "/--/api/v2/push/getExpoPushToken"])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"data":', b'{"ids":['])
@pytest.mark.parametrize("levels", [10_000, 100_000])
def test_deep_nesting_is_a_validation_error(path: str, opening: bytes, levels: int, server: Server) -> None:
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"data":': b"}]", b'{"ids":[': b"]}"}[opening]

    reply = post(server, opening * levels + b"1" + closing * levels, path)

    assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("levels", [100, 190, 250, 260, 900, 1100, 10_000])
def test_deep_data_is_sent_or_refused_but_never_lost(levels: int, server: Server) -> None:
    reply = post(server, message_text('"data":' + '{"x":' * levels + "1" + "}" * levels))

    if reply.status == 200:
        assert receipt(server, reply)["status"] == "ok"
    else:
        assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "fields", ['"title":"\\ud800"', '"data":{"\\udfff":"\\ud800"}', '"body":"\\ud83d\\ud83d\\ude00"']
)
def test_a_message_with_lone_surrogates_is_sent(fields: str, server: Server) -> None:
    assert receipt(server, post(server, message_text(fields))) == {"status": "ok"}


def test_a_token_with_a_lone_surrogate_is_answered_in_utf_8(server: Server) -> None:
    ticket = post(server, b'[{"to":"Expo\\ud800"}]').json()["data"][0]

    assert ticket["message"] == '"Expo\ufffd" is not a valid Expo push token'


def test_broken_utf_8_is_read_as_replacement_characters(server: Server) -> None:
    assert post(server, b'[{"to":"\xff"}]').json()["data"][0]["details"]["expoPushToken"] == "\ufffd"


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SEND, GET_RECEIPTS, "/--/api/v2/push/getExpoPushToken"])
def test_a_body_of_5_mb_is_too_large(path: str, server: Server) -> None:
    reply = post(server, message_text('"body":"' + "x" * 5 * MIB + '"'), path)

    assert refusal(reply)[:2] == (413, "PAYLOAD_TOO_LARGE")


def test_a_chunked_body_of_5_mb_is_too_large(server: Server) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connected(server, timeout_s=30.0) as wire:
        wire.write(head(**{"transfer-encoding": "chunked"}), chunk * 80, b"0\r\n\r\n")
        reply = wire.read()

    assert refusal(reply)[:2] == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("path", [SEND, GET_RECEIPTS, "/--/api/v2/push/getExpoPushToken"])
def test_a_compressed_body_of_5_mb_is_too_large(path: str, server: Server) -> None:
    reply = post(server, gzip.compress(message_text('"body":"' + "x" * 5 * MIB + '"')), path, content_encoding="gzip")

    assert refusal(reply)[:2] == (413, "PAYLOAD_TOO_LARGE")


def test_a_body_of_2_mb_is_taken(server: Server) -> None:
    """100 payloads of 4 KiB in a script that is written as \\uXXXX, six characters for two or three bytes."""
    assert len(post(server, [{"to": TOKEN, "unknown": "x" * 20_000}] * 100).json()["data"]) == 100


def test_a_gzip_bomb_of_1_gb_costs_little_memory(start_server: StartServer) -> None:
    server = start_server()
    bomb = gzip_bomb(1024)
    still_serves(server)
    before_bytes = peak_memory_bytes(server)

    replies = [post(server, bomb, content_encoding="gzip") for _ in range(3)]

    assert [refusal(reply)[:2] for reply in replies] == [(413, "PAYLOAD_TOO_LARGE")] * 3
    assert peak_memory_bytes(server) - before_bytes < 50 * MIB
    still_serves(server)


def gzip_bomb(size_mib: int) -> bytes:
    """A gzip stream of zeros. Its checksum is wrong; who inflates it so far has lost anyway."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + block * size_mib + b"\x03\x00" + bytes(8)


def test_the_bomb_is_what_it_says() -> None:
    assert zlib.decompress(gzip_bomb(2)[10:-8], wbits=-15) == bytes(2 * MIB)


@pytest.mark.parametrize("kept", [2, 9, 12, -8, -1])
def test_a_truncated_gzip_body_is_a_validation_error(kept: int, server: Server) -> None:
    reply = post(server, gzip.compress(MESSAGE)[:kept], content_encoding="gzip")

    assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "identity", "gzip, gzip", "nonsense"])
def test_the_label_of_an_encoding_does_not_matter(encoding: str, server: Server) -> None:
    """What it is is told by its first bytes; clients.md, point 18."""
    assert post(server, MESSAGE, content_encoding=encoding).status == 200


def test_a_twice_compressed_body_is_a_validation_error(server: Server) -> None:
    reply = post(server, gzip.compress(gzip.compress(MESSAGE)), content_encoding="gzip")

    assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png", "", ";;;", "a" * 1000],
)
def test_the_content_type_is_not_asked_for(content_type: str, server: Server) -> None:
    assert post(server, MESSAGE, content_type=content_type).status == 200


# -- limits -----------------------------------------------------------------------------------------------------------


def test_101_recipients_are_too_many(server: Server) -> None:
    assert refusal(post(server, [{"to": TOKEN}] * 101)) == (
        400,
        "PUSH_TOO_MANY_NOTIFICATIONS",
        "You can send a maximum of 100 notifications per request (received 101); divide your requests.",
    )


@pytest.mark.parametrize("batch", [True, False])
def test_101_tokens_in_one_to_are_a_validation_error(batch: bool, server: Server) -> None:
    message = {"to": [TOKEN] * 101}

    assert refusal(post(server, [message] if batch else message)) == (
        400,
        "VALIDATION_ERROR",
        f'"{"0." if batch else ""}to": String must contain at most 100 character(s).',
    )


def test_100_000_messages_are_refused(server: Server) -> None:
    assert refusal(post(server, b"[" + b",".join([b'{"to":"x"}'] * 100_000) + b"]"))[1] == "PUSH_TOO_MANY_NOTIFICATIONS"


def test_1001_ids_are_too_many(server: Server) -> None:
    assert refusal(post(server, {"ids": ["x"] * 1001}, GET_RECEIPTS)) == (
        400,
        "PUSH_TOO_MANY_RECEIPTS",
        "You can request a maximum of 1000 receipts per request (received 1001); divide your requests.",
    )


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "x",
        "0" * 36,
        "'; DROP TABLE batches; --",
        "\u0000",
        "é" * 36,
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "x" * 100_000,
    ],
)
def test_an_id_that_is_no_uuid_or_nobodys_is_left_out(id_: str, server: Server) -> None:
    reply = post(server, {"ids": [id_, id_]}, GET_RECEIPTS)

    assert (reply.status, reply.body) == (200, b'{"data":{}}')


@pytest.mark.parametrize("ids", [None, "x", 1, {}, {"0": "x"}, [1], [None], [["x"]], [{}]])
def test_ids_that_are_no_strings_are_a_validation_error(ids: object, server: Server) -> None:
    status, code, message = refusal(post(server, {"ids": ids}, GET_RECEIPTS))

    assert (status, code, message[:4]) == (400, "VALIDATION_ERROR", '"ids')


# -- wrong types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "kind", "got"), WRONG)
def test_a_field_of_a_wrong_type_is_named(field: str, kind: str, got: str, server: Server) -> None:
    reply = post(server, [{"to": TOKEN, field: VALUES[got]}])

    assert refusal(reply) == (400, "VALIDATION_ERROR", f'"0.{field}": Expected {kind}, received {got}.')


@pytest.mark.parametrize("field", ["priority", "interruptionLevel", "sound", "richContent", "to"])
@pytest.mark.parametrize("value", [1, True, [1], {"critical": 1, "image": 1}])
def test_a_wrong_value_of_the_other_fields_is_named(field: str, value: object, server: Server) -> None:
    status, code, message = refusal(post(server, [{"to": TOKEN, field: value}]))

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert message.startswith(f'"0.{field}')


@pytest.mark.parametrize("field", ["type", "deviceId", "appId", "deviceToken", "projectId", "development"])
@pytest.mark.parametrize("value", [1, [1], {"a": 1}, "", "x" * 5000, "\u0000"])
def test_a_wrong_field_of_a_registration_is_named_or_taken(field: str, value: object, server: Server) -> None:
    device: dict[str, Any] = {
        "type": "apns",
        "deviceId": "d",
        "development": False,
        "appId": "a",
        "deviceToken": "a1" * 32,
    }
    device |= {"projectId": "51092087-87a4-4b12-8008-145625477434", field: value}

    reply = post(server, device, "/--/api/v2/push/getExpoPushToken")

    if value == "\u0000" and field in ("deviceId", "deviceToken"):
        assert reply.status in (200, 400)
    else:
        assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")
        assert reply.error["message"].startswith(f'"{field}": ')


@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "-" + "9" * 30, "9" * 5000, "1e400", "1e308", "1e-400", "-0"])
@pytest.mark.parametrize("fields", ['"badge":%s', '"ttl":%s', '"expiration":%s', '"data":{"n":%s}', '"unknown":%s'])
def test_a_huge_number_is_sent_or_refused_but_never_lost(fields: str, number: str, server: Server) -> None:
    reply = post(server, message_text(fields % number + ',"body":"x"'))

    if reply.status == 200:
        assert receipt(server, reply)["status"] in ("ok", "error")
    else:
        assert refusal(reply)[:2] == (400, "VALIDATION_ERROR")


# -- tokens -----------------------------------------------------------------------------------------------------------

ODD_TOKENS = [
    'ExponentPushToken["]',
    'ExponentPushToken[""quoted""]',
    "ExponentPushToken[\n\r\t]",
    "ExponentPushToken[[[]]]",
    "ExponentPushToken[\\]",
    "ExponentPushToken[\u0000]",
    "ExponentPushToken['; DROP TABLE devices; --]",
    "ExponentPushToken[\U0001f600é\u2028]",
    "ExponentPushToken[../../etc/passwd]",
    "ExponentPushToken[]",
]


@pytest.mark.parametrize("token", ODD_TOKENS)
def test_an_odd_token_that_passes_the_sdks_check_is_enrolled(token: str, server: Server) -> None:
    assert receipt(server, post(server, [{"to": token, "body": "x"}])) == {"status": "ok"}


@pytest.mark.parametrize("token", [*ODD_TOKENS, "", "x", "]", "[", "x" * 100_000, '"', "\n"])
def test_an_odd_token_is_answered_as_it_was_sent_when_strict(token: str, strict_server: Server) -> None:
    (ticket,) = post(strict_server, [{"to": token}]).json()["data"]

    assert ticket == {
        "status": "error",
        "message": f'"{token}" is not a valid Expo push token',
        "details": {"error": "DeviceNotRegistered", "expoPushToken": token},
    }


def test_no_token_is_in_the_log(server: Server) -> None:
    """Neither the push token nor the device token of a push that was refused, which has a line of its own."""
    device = {"type": "apns", "deviceId": "phone", "development": False, "appId": "com.acme.secretsecretsecr"}
    # No hexadecimal number: APNs calls it bad.
    device |= {"deviceToken": "secretsecretsecr" * 4, "projectId": "51092087-87a4-4b12-8008-145625477434"}
    push_token = post(server, device, "/--/api/v2/push/getExpoPushToken").json()["data"]["expoPushToken"]
    post(server, [{"to": "ExponentPushToken[AAAAsecretsecretsecrBB]", "title": 1}])
    too_big = receipt(server, post(server, [{"to": "ExponentPushToken[AAAAsecretsecretsecrBB]", "data": BIG}]))
    bad_token = receipt(server, post(server, [{"to": push_token, "body": "secretsecretsecr"}]))

    logged = server.stderr()
    assert too_big["details"]["error"] == "MessageTooBig"
    assert bad_token["details"]["apns"]["reason"] == "BadDeviceToken"
    assert "ExponentPushToken[AAAA\\u2026BB]: " in logged
    assert "]: BadDeviceToken" in logged
    assert "secretsecretsecr" not in logged
    assert push_token not in logged
