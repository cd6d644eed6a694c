"""The emulated APNs apart from its connections: knows keys, devices and faults, decides, and keeps captures."""

import uuid
from collections.abc import Callable

from expo_gateway.emulators.apns_answers import (
    ApnsReason,
    Reply,
    accepted_reply,
    refused_reply,
    scripted_reply,
)
from expo_gateway.emulators.apns_certificates import TrustedCertificate, TrustedCertificates
from expo_gateway.emulators.apns_provider_tokens import ConnectionTokens, ProviderToken, ProviderTokens
from expo_gateway.emulators.apns_rules import ApnsRequest, judge
from expo_gateway.emulators.faults import Act, Answer, Faults
from expo_gateway.emulators.inbox import Capture, Inbox
from expo_gateway.emulators.virtual_devices import VirtualDevices


def made_id() -> str:
    """An id as APNs makes one: an upper-case UUID (seen: 9D3220FE-444B-633E-D1F1-5D0DCB4F537A, in an error)."""
    return str(uuid.uuid4()).upper()


class ApnsDecisions:
    def __init__(
        self,
        *,
        inbox: Inbox,
        devices: VirtualDevices,
        faults: Faults,
        provider_tokens: ProviderTokens,
        certificates: TrustedCertificates,
        clock: Callable[[], float],
        make_id: Callable[[], str] = made_id,
    ) -> None:
        self._inbox = inbox
        self._devices = devices
        self._faults = faults
        self._provider_tokens = provider_tokens
        self._certificates = certificates
        self._clock = clock
        self._make_id = make_id

    def request(self, headers: list[tuple[bytes, bytes]], body: bytes) -> ApnsRequest:
        fields = tuple((str(name, "latin-1"), str(value, "latin-1")) for name, value in headers)
        return ApnsRequest(headers=fields, fields=dict(fields), body=body, received_at=self._clock())

    def act(self, request: ApnsRequest) -> Act | None:
        """What a fault wants done with this request; uses up one of its times."""
        return self._faults.take(request.device_token)

    def certificate(self, der: bytes | None) -> TrustedCertificate | ApnsReason | None:
        """What the certificate that a connection's client has shown is worth; None when it has shown none."""
        return self._certificates.read(der)

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
        now = self._clock()
        token = self._provider_tokens.read(request.fields.get("authorization", ""), now=now)
        if isinstance(token, ApnsReason):
            return token
        return tokens.admit(token, now=now) or token

    def _apns_id(self, request: ApnsRequest) -> str:
        return request.fields.get("apns-id") or self._make_id()

    def _capture(self, request: ApnsRequest, reply: Reply | None) -> None:
        self._inbox.add(
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


def _without_secret(name: str, value: str) -> str:
    """The provider token is a credential: only the scheme before it is kept."""
    if name != "authorization":
        return value
    scheme, separator, _ = value.partition(" ")
    return scheme if separator else ""
