"""A run with a fault in it, and an unmodified SDK that sends there: what its caller gets."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests
from exponent_server_sdk import PushClient, PushMessage, PushServerError, PushTicket

from expo_gateway.testing import Gateway, Run
from expo_gateway.testing.records import Delivery
from tests.compat.node_sdk import SDKS, KeptSdk, kept_sdk
from tests.testing.eventually import eventually

ALL_SDKS = ("python", *SDKS)
SETTLED = ("delivered", "failed")
# One attempt and a few more: the last of them ends in the receipt of what the provider said.
TTL_S = 30

Said: TypeAlias = Mapping[str, Any]
"""A ticket or a receipt as JSON."""


@dataclass(frozen=True, slots=True)
class SdkError(Exception):
    """What the SDK threw in its caller's face. The status is 0, and the code "", where it knew none."""

    status: int
    code: str
    text: str


class Sdk:
    """What all of them can do. Raises SdkError."""

    def send(self, *messages: Mapping[str, Any]) -> Sequence[Said]:
        """The tickets, of one request."""
        raise NotImplementedError

    def receipts(self, ids: Sequence[str]) -> Mapping[str, Said]:
        """Those that there are."""
        raise NotImplementedError


class NodeSdk(Sdk):
    def __init__(self, kept: KeptSdk) -> None:
        self._kept = kept

    def send(self, *messages: Mapping[str, Any]) -> Sequence[Said]:
        tickets: Sequence[Said] = self._call("sendUnchunked", messages=messages)["tickets"]
        return tickets

    def receipts(self, ids: Sequence[str]) -> Mapping[str, Said]:
        receipts: Mapping[str, Said] = self._call("receipts", ids=ids)["receipts"]
        return receipts

    def _call(self, call: str, **parameters: Any) -> Said:
        given = self._kept.call(call, **parameters)
        if "error" not in given:
            return given
        error = given["error"]
        raise SdkError(error.get("statusCode", 0), error.get("code", ""), error["message"])


class PythonSdk(Sdk):
    def __init__(self, run: Run, session: requests.Session) -> None:
        self._push = PushClient(host=run.host, api_url=run.api_url, session=session)

    def send(self, *messages: Mapping[str, Any]) -> Sequence[Said]:
        try:
            tickets = self._push.publish_multiple([PushMessage(**message) for message in messages])
        except PushServerError as error:
            (first,) = error.errors
            raise SdkError(error.response.status_code, first["code"], first["message"]) from None
        except requests.HTTPError as error:
            raise SdkError(error.response.status_code, "", error.response.text) from None
        except requests.ConnectionError as error:
            raise SdkError(0, "", str(error)) from None
        return [ticket._asdict() for ticket in tickets]

    def receipts(self, ids: Sequence[str]) -> Mapping[str, Said]:
        tickets = [PushTicket(push_message=None, status="ok", message="", details=None, id=id_) for id_ in ids]
        return {one.id: one._asdict() for one in self._push.check_receipts_multiple(tickets)}


@contextmanager
def open_sdk(name: str, run: Run) -> Iterator[Sdk]:
    """One of ALL_SDKS, sending to this run."""
    if name != "python":
        # Its own second and third tries after a 429 wait a second, unless they are told otherwise.
        with kept_sdk(name, run.url, options={"retryMinTimeout": 1}) as kept:
            yield NodeSdk(kept)
        return
    with requests.Session() as session:
        session.headers.update({"content-type": "application/json"})
        yield PythonSdk(run, session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    sdk: Sdk
    run: Run
    tokens: dict[str, str] = field(default_factory=dict)
    """Platform -> push token of its one phone."""

    def phone(self, platform: str) -> str:
        if platform not in self.tokens:
            self.tokens[platform] = self.run.devices.make(platform).push_token
        return self.tokens[platform]

    def send(self, platform: str, **message: Any) -> str:
        """The id of the ticket, which must be ok."""
        (ticket,) = self.sdk.send({"to": self.phone(platform), "title": "Hello", "ttl": TTL_S, **message})
        assert ticket["status"] == "ok", ticket
        return str(ticket["id"])

    def tried(self, ticket: str, *, attempts: int = 1) -> Delivery:
        """The delivery once it is not under way any more, after so many attempts."""
        eventually(lambda: _is_at_rest(self.delivery(ticket), attempts=attempts))
        return self.delivery(ticket)

    def delivery(self, ticket: str) -> Delivery:
        (found,) = self.run.sent(ticket=ticket)
        return found

    def settled(self, ticket: str) -> Delivery:
        """The same at the end: the clock is moved from one attempt to the next."""
        delivery = self.tried(ticket)
        while delivery.state not in SETTLED:
            assert delivery.due_at is not None
            self.run.clock.set(delivery.due_at)
            delivery = self.tried(ticket, attempts=delivery.attempts_made + 1)
        return delivery

    def receipt(self, ticket: str) -> str:
        """ "ok", or the name of the error, as the SDK has it; "" when there is none to be had yet."""
        found = self.sdk.receipts([ticket])
        if ticket not in found:
            return ""
        details = found[ticket].get("details") or {}
        return "ok" if found[ticket]["status"] == "ok" else str(details["error"])


def _is_at_rest(delivery: Delivery, *, attempts: int) -> bool:
    return delivery.state in SETTLED or (delivery.state == "retrying" and delivery.attempts_made >= attempts)


def run_of(name: str, gateway: Gateway) -> Run:
    """Where the SDK of this name sends, for its whole life; a run that is closed makes room for the next."""
    return gateway.run(f"faults-{name}")
