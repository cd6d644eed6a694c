"""exponent_server_sdk, the Python client that Expo lists."""

import checks
from exponent_server_sdk import (
    DeviceNotRegisteredError,
    MessageTooBigError,
    PushClient,
    PushMessage,
    PushReceipt,
    PushServerError,
    PushTicket,
)

client = PushClient(host=checks.GATEWAY_URL)
accepted: list[PushTicket] = []


def tickets() -> None:
    found = client.publish_multiple(
        [
            PushMessage(to=checks.TOKEN_IOS, title="Hello", data={"at": 1}),
            PushMessage(to=checks.TOKEN_ANDROID, body="x" * 1200),
        ]
    )
    checks.expect("tickets", [True, True], [ticket.is_success() for ticket in found])
    accepted.extend(found)


def receipts() -> None:
    for receipt in receipts_of(accepted):
        receipt.validate_response()


def errors() -> None:
    unknown, big = client.publish_multiple(
        [
            PushMessage(to=checks.TOKEN_UNKNOWN, title="Hello"),
            PushMessage(to=checks.TOKEN_IOS, data={"text": "x" * 5000}),
        ]
    )
    checks.expect("ticket", DeviceNotRegisteredError, raised_by(unknown.validate_response))
    checks.expect("receipt", MessageTooBigError, raised_by(receipts_of([big])[0].validate_response))
    wrong = PushMessage(to=checks.TOKEN_IOS, priority="urgent")
    checks.expect("request", PushServerError, raised_by(lambda: client.publish(wrong)))


def receipts_of(wanted: list[PushTicket]) -> list[PushReceipt]:
    def all_of_them() -> list[PushReceipt] | None:
        found: list[PushReceipt] = client.check_receipts_multiple(wanted)
        return found if len(found) == len(wanted) else None

    return checks.until(all_of_them, "receipts")


def raised_by(call: object) -> type[BaseException] | None:
    assert callable(call)
    try:
        call()
    except Exception as error:
        return type(error)
    return None


checks.run("exponent_server_sdk", {"tickets": tickets, "receipts": receipts, "errors": errors})
