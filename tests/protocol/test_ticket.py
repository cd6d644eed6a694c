"""Tickets and their ids."""

import uuid

import pytest

from expo_gateway.protocol.ticket import (
    BATCH_RANDOM_BYTES,
    MAX_PLACES,
    TicketError,
    accepted_at,
    batch_id,
    earliest_batch_id,
    not_a_push_token,
    not_a_recipient,
    parse_ticket_id,
    parse_ticket_ids,
    ticket_id,
    tickets_json,
)

NOW = 1_767_657_694.556  # 2026-01-06 00:01:34.556 UTC
BATCH = batch_id(now=NOW, random_bytes=bytes(range(BATCH_RANDOM_BYTES)))


@pytest.mark.parametrize("random_bytes", [bytes(8), b"\xff" * 8, bytes(range(8))])
@pytest.mark.parametrize("place", [0, 1, 99, MAX_PLACES - 1])
def test_a_ticket_id_is_a_lower_case_uuid_of_version_7(place: int, random_bytes: bytes) -> None:
    text = ticket_id(batch_id(now=NOW, random_bytes=random_bytes), place)

    parsed = uuid.UUID(text)
    assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)


def test_a_ticket_id_begins_with_the_millisecond_of_its_batch() -> None:
    assert int(ticket_id(BATCH, 5).replace("-", "")[:12], 16) == 1_767_657_694_556


def test_a_batch_id_tells_when_the_batch_was_accepted() -> None:
    assert accepted_at(BATCH) == NOW


@pytest.mark.parametrize("place", [0, 1, 99, MAX_PLACES - 1])
def test_a_ticket_id_leads_back_to_its_place(place: int) -> None:
    assert parse_ticket_id(ticket_id(BATCH, place)) == (BATCH, place)


def test_a_ticket_id_in_upper_case_is_read() -> None:
    assert parse_ticket_id(ticket_id(BATCH, 3).upper()) == (BATCH, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "019b9339-aa4e-4e7e-84ac-840ee072e57e",  # version 4
        "019b9339-aa4e-7e7e-c4ac-840ee072e57e",  # another variant
        "019b9339aa4e7e7e84ac840ee072e57e",
        "{019b9339-aa4e-7e7e-84ac-840ee072e57e}",
        "019b9339-aa4e-7e7e-84ac-840ee072e57e\n",
        "019b9339-aa4e-7e7e-84ac-840ee072e57\u0665",
        '"; DROP TABLE batches; --',
    ],
)
def test_a_text_that_is_no_ticket_id_leads_nowhere(text: str) -> None:
    assert parse_ticket_id(text) is None


def test_many_ids_are_read_as_each_of_them_is() -> None:
    other = batch_id(now=NOW + 1, random_bytes=b"\xff" * 8)
    texts = [ticket_id(batch, place) for batch in (BATCH, other) for place in (0, 1, 255, MAX_PLACES - 1)]
    spoiled = [
        texts[0][:15] + place + texts[0][18:] for place in ("00g", "-01", " 01", "+01", "0_1", "\u0660\u0661\u0662")
    ]
    texts += [texts[1].upper(), texts[0][:-1], texts[0] + "0", "", *spoiled]

    expected = {text: parsed for text in texts if (parsed := parse_ticket_id(text)) is not None}

    assert parse_ticket_ids(texts) == expected
    assert len(expected) == 9


def test_batch_ids_are_in_order_of_time() -> None:
    earlier = batch_id(now=NOW - 0.001, random_bytes=b"\xff" * 8)

    assert earlier < earliest_batch_id(NOW) <= batch_id(now=NOW, random_bytes=bytes(8))


def test_a_malformed_token_has_the_recorded_ticket() -> None:
    assert not_a_push_token("ExponentPushToken[xd]").to_json() == (
        rb'{"status":"error","message":"\"ExponentPushToken[xd]\" is not a valid Expo push token",'
        rb'"details":{"error":"DeviceNotRegistered","expoPushToken":"ExponentPushToken[xd]"}}'
    )


def test_an_unregistered_token_has_the_documented_ticket() -> None:
    assert not_a_recipient("ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]").to_json() == (
        rb'{"status":"error","message":"\"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]\" is not a registered push '
        rb'notification recipient","details":{"error":"DeviceNotRegistered",'
        rb'"expoPushToken":"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"}}'
    )


def test_a_ticket_without_a_token_names_none() -> None:
    ticket = TicketError(message="m", error="InvalidCredentials", fault="developer")

    assert ticket.to_json() == (
        b'{"status":"error","message":"m","details":{"error":"InvalidCredentials","fault":"developer"}}'
    )


def test_tickets_stand_in_the_order_of_their_places() -> None:
    body = tickets_json(BATCH, [None, not_a_push_token("x"), None], as_object=False)

    assert (
        body
        == (
            f'{{"data":[{{"status":"ok","id":"{ticket_id(BATCH, 0)}"}},'
            '{"status":"error","message":"\\"x\\" is not a valid Expo push token",'
            '"details":{"error":"DeviceNotRegistered","expoPushToken":"x"}},'
            f'{{"status":"ok","id":"{ticket_id(BATCH, 2)}"}}]}}'
        ).encode()
    )


def test_tickets_without_an_error_stand_in_the_order_of_their_places() -> None:
    expected = ",".join(f'{{"status":"ok","id":"{ticket_id(BATCH, place)}"}}' for place in range(100))

    assert tickets_json(BATCH, [None] * 100, as_object=False) == f'{{"data":[{expected}]}}'.encode()


def test_one_ticket_can_be_answered_bare() -> None:
    assert tickets_json(BATCH, [None], as_object=True) == (
        f'{{"data":{{"status":"ok","id":"{ticket_id(BATCH, 0)}"}}}}'.encode()
    )


def test_no_recipients_have_no_tickets() -> None:
    assert tickets_json(BATCH, [], as_object=False) == b'{"data":[]}'
