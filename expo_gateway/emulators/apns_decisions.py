"""The emulated APNs apart from its connections: knows keys, devices and faults, decides, and keeps captures."""

import uuid
from collections.abc import Callable, Mapping

from expo_gateway.emulators.apns_answers import (
    ApnsReason,
    Reply,
    accepted_reply,
    refused_reply,
    scripted_reply,
)
from expo_gateway.emulators.apns_certificates import TrustedCertificate, TrustedCertificates
from expo_gateway.emulators.apns_provider_tokens import ConnectionTokens, ProviderToken, ProviderTokens, key_id_in
from expo_gateway.emulators.apns_rules import ApnsRequest, judge
from expo_gateway.emulators.faults import Act, Answer, ConnectionAct
from expo_gateway.emulators.inbox import Capture
from expo_gateway.emulators.magic_devices import apns_refusal
from expo_gateway.emulators.world import EmulatedWorld, Worlds

# Our choice: the provider tokens of 1,000 worlds, with one more for each that has just changed.
MAX_KEY_IDS = 2048


def made_id() -> str:
    """An id as APNs makes one: an upper-case UUID (seen: 9D3220FE-444B-633E-D1F1-5D0DCB4F537A, in an error)."""
    return str(uuid.uuid4()).upper()


class ApnsDecisions:
    """The decisions of one world."""

    def __init__(
        self,
        *,
        world: EmulatedWorld,
        provider_tokens: ProviderTokens,
        make_id: Callable[[], str] = made_id,
    ) -> None:
        self.world = world
        self._devices = world.apns_devices
        self._provider_tokens = provider_tokens
        self._make_id = make_id

    def request(self, headers: tuple[tuple[str, str], ...], fields: Mapping[str, str], body: bytes) -> ApnsRequest:
        return ApnsRequest(headers=headers, fields=fields, body=body, received_at=self.world.clock())

    def act(self, request: ApnsRequest) -> Act | None:
        """What a fault wants done with this request; uses up one of its times."""
        faults = self.world.faults
        if "apns" not in faults:
            return None
        return faults.take("apns", self.world.occasion(request.device_token, now=request.received_at))

    def connection_acts(self, request: ApnsRequest) -> list[ConnectionAct]:
        """What faults want of the connection that carries the request."""
        faults = self.world.faults
        if "connection" not in faults:
            return []
        return faults.take_connection(self.world.occasion(request.device_token, now=request.received_at))

    def answer(
        self,
        request: ApnsRequest,
        tokens: ConnectionTokens,
        certificate: TrustedCertificate | ApnsReason | None = None,
    ) -> Reply:
        """The ordinary answer, captured. `tokens` and `certificate` are those of its connection; where there is a
        certificate, provider tokens are ignored."""
        token = certificate or self._provider_token(request, tokens)
        refusal = judge(
            request,
            token=token,
            device=self._devices.get(request.device_token),
            known_only=self._devices.known_only,
        )
        if refusal is None and self.world.magic_devices:
            refusal = apns_refusal(request.device_token, now=request.received_at)
        if refusal is None:
            self._devices.meet(request.device_token, app_id=request.app_id, sandbox=request.is_sandbox)
            # Assumed: only an accepted push gets the id under which the Push Notifications Console lists it.
            unique_id = self._make_id() if request.is_sandbox else None
            reply = accepted_reply(apns_id=self._apns_id(request), unique_id=unique_id)
        else:
            is_proven = isinstance(token, ProviderToken | TrustedCertificate)
            reply = refused_reply(refusal, apns_id=self._apns_id(request), proves_token=is_proven)
        self._capture(request, reply)
        return reply

    def scripted(self, request: ApnsRequest, answer: Answer) -> Reply:
        """The answer that a fault forces, captured. It says nothing of the provider token."""
        reply = scripted_reply(answer, apns_id=self._apns_id(request))
        self._capture(request, reply)
        return reply

    def dropped(self, request: ApnsRequest) -> None:
        """Captures a request that gets no answer."""
        self._capture(request, None)

    def _provider_token(self, request: ApnsRequest, tokens: ConnectionTokens) -> ProviderToken | ApnsReason:
        now = self.world.clock()
        token = self._provider_tokens.read(request.fields.get("authorization", ""), now=now)
        if isinstance(token, ApnsReason):
            return token
        return tokens.admit(token, now=now) or token

    def _apns_id(self, request: ApnsRequest) -> str:
        return request.fields.get("apns-id") or self._make_id()

    def _capture(self, request: ApnsRequest, reply: Reply | None) -> None:
        self.world.inbox.add(
            Capture(
                emulator="apns",
                received_at=request.received_at,
                path=request.path,
                headers=tuple((name, _without_secret(name, value)) for name, value in request.headers),
                body=request.body,
                device_token=request.device_token,
                status=reply.status if reply else 0,
                reason=reply.reason if reply else "",
                answer_id=reply.apns_id if reply else "",
            )
        )


class ApnsWorlds:
    """The decisions of every world. A push belongs to the world that has the key of its provider token; one whose
    connection has a certificate, or whose key nobody made known, to the default world."""

    def __init__(self, *, default: ApnsDecisions, removed: ApnsDecisions, certificates: TrustedCertificates) -> None:
        self.default = default
        self._worlds = Worlds(default=default, removed=removed)
        self._certificates = certificates
        self._key_ids: dict[str, str] = {}

    def of(self, authorization: str) -> ApnsDecisions:
        """`authorization`: the header's value, "" when there was none."""
        if self._worlds.is_only_default:
            return self.default
        key_id = self._key_ids.get(authorization)
        if key_id is None:
            key_id = self._remembered(authorization)
        return self._worlds.of(key_id)

    def certificate(self, der: bytes | None) -> TrustedCertificate | ApnsReason | None:
        """What the certificate that a connection's client has shown is worth; None when it has shown none."""
        return self._certificates.read(der)

    def add(self, key_id: str, decisions: ApnsDecisions) -> None:
        """ValueError: another world has the key."""
        self._worlds.add(key_id, decisions)

    def remove(self, key_id: str) -> ApnsDecisions | None:
        return self._worlds.remove(key_id)

    def _remembered(self, authorization: str) -> str:
        key_id = key_id_in(authorization)
        if key_id:
            if len(self._key_ids) >= MAX_KEY_IDS:
                del self._key_ids[next(iter(self._key_ids))]
            self._key_ids[authorization] = key_id
        return key_id


def _without_secret(name: str, value: str) -> str:
    """The provider token is a credential: only the scheme before it is kept."""
    if name != "authorization":
        return value
    scheme, separator, _ = value.partition(" ")
    return scheme if separator else ""
