"""Expo's push API: /push/send and /push/getReceipts.

Source: https://docs.expo.dev/push-notifications/sending-notifications/#http2-api.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import msgspec

from expo_gateway.doors.bodies import Bodies
from expo_gateway.doors.http import BearerAnswer, BearerEndpoint, ConnectionCut, DirectRoute, forced_refusal
from expo_gateway.errors import RequestRefused
from expo_gateway.gateway import Gateway
from expo_gateway.protocol.body import inflate
from expo_gateway.protocol.message import decode_json, decode_send_request
from expo_gateway.protocol.schema import issue_in_object, strings
from expo_gateway.protocol.ticket import tickets_json
from expo_gateway.request_faults import RequestAct, RequestCut, RequestDelay, RequestError

API = "/--/api/v2"

FaultOf = Callable[[Collection[str]], Awaitable[RequestAct | None]]
"""Push tokens of a send request -> what is to go wrong with it."""


def routes(
    gateway: Gateway, *, request_id: Callable[[], str], bodies: Bodies, fault_of: FaultOf | None = None
) -> list[DirectRoute]:
    """The send door answers at `/` too: Symfony's notifier drops the path of a custom host."""

    async def send(body: bytes, /, *, bearer: str | None) -> bytes:
        request = decode_send_request(inflate(body))
        fault = await fault_of(request.tokens) if fault_of is not None else None
        if fault is not None:
            await suffer_before(fault)
        tickets = await gateway.accept(request, body=body, bearer=bearer)
        if isinstance(fault, RequestCut):
            raise ConnectionCut
        return tickets_json(tickets.batch_id, tickets.refused, as_object=request.answers_object)

    async def get_receipts(body: bytes, /, *, bearer: str | None) -> bytes:
        receipts = await gateway.receipts(receipt_ids(inflate(body)), bearer=bearer)
        return b'{"data":{' + b",".join(b'"%s":%s' % (key.encode(), value) for key, value in receipts.items()) + b"}}"

    def endpoint(answer: BearerAnswer) -> BearerEndpoint:
        return BearerEndpoint(answer, request_id=request_id, bodies=bodies)

    return [
        DirectRoute(f"{API}/push/send", endpoint(send)),
        DirectRoute(f"{API}/push/getReceipts", endpoint(get_receipts)),
        DirectRoute("/", endpoint(send)),
    ]


async def suffer_before(fault: RequestAct) -> None:
    """What of a fault comes before anything is accepted. Raises RequestRefused, ForcedText or ConnectionCut."""
    match fault:
        case RequestDelay():
            await asyncio.sleep(fault.delay_s)
        case RequestError():
            raise forced_refusal(fault)
        case RequestCut(when="before"):
            raise ConnectionCut


class _ReceiptsRequest(msgspec.Struct):
    ids: list[str]


_decoder = msgspec.json.Decoder(_ReceiptsRequest)


def receipt_ids(body: bytes) -> list[str]:
    """The ids of a getReceipts body. Raises RequestRefused when it is no `{"ids": [string, …]}`.

    As with messages: the typed decoder says yes or no, and only a no is looked at again, for its exact text.
    """
    try:
        return _decoder.decode(body).ids
    except (msgspec.DecodeError, RecursionError):
        pass
    decoded = decode_json(body)
    issue = issue_in_object(decoded, {"ids": strings})
    if issue is not None or not isinstance(decoded, dict):
        raise RequestRefused("VALIDATION_ERROR", issue or "Required.")
    ids: list[str] = decoded["ids"]
    return ids
