"""Apple's push service: one pool of connections for each environment, one provider token for all.

Source: Apple, "Sending notification requests to APNs",
https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import replace

from expo_gateway.protocol.apns import MAX_PAYLOAD_BYTES, ApnsRequest
from expo_gateway.protocol.push_token import redacted
from expo_gateway.protocol.receipt import too_big
from expo_gateway.providers.apns_headers import bad_field
from expo_gateway.providers.apns_limits import ApnsLimits
from expo_gateway.providers.apns_pool import ApnsEndpoint, ApnsPool
from expo_gateway.providers.apns_reasons import (
    EXPIRED_PROVIDER_TOKEN,
    UNPROCESSED,
    UNRELATED_KEY,
    ApnsAnswer,
    Bounced,
    Reply,
    outcome_of,
    refused_here,
    uncertain,
    unsent,
)
from expo_gateway.providers.apns_token import ApnsKey, NoProviderToken, ProviderToken, SharedProviderToken
from expo_gateway.providers.base import Outcome, Rejected

__all__ = ["PRODUCTION", "SANDBOX", "ApnsEndpoint", "ApnsKey", "ApnsLimits", "ApnsProvider", "apns_ssl_context"]

log = logging.getLogger(__name__)

PRODUCTION = ApnsEndpoint(host="api.push.apple.com", port=443, authority="api.push.apple.com")
SANDBOX = ApnsEndpoint(host="api.sandbox.push.apple.com", port=443, authority="api.sandbox.push.apple.com")

_DEFAULTS = ApnsLimits()


def apns_ssl_context() -> ssl.SSLContext:
    """TLS as APNs wants it: the system's authorities, TLS 1.2 or later, HTTP/2 and nothing else."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


class ApnsProvider:
    """Sends pushes for one key or certificate. Close it in the event loop in which it was used."""

    def __init__(
        self,
        *,
        key: ApnsKey | None,
        production: ApnsEndpoint = PRODUCTION,
        sandbox: ApnsEndpoint = SANDBOX,
        ssl_context: ssl.SSLContext,
        clock: Callable[[], float],
        emulated: bool,
        max_connections: int = _DEFAULTS.max_connections,
        request_timeout_s: float = _DEFAULTS.request_timeout_s,
        limits: ApnsLimits = _DEFAULTS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`ssl_context` offers ALPN "h2"; `max_connections` and `request_timeout_s` are put into `limits`.

        `clock` dates the provider token. Without a key, the certificate that `ssl_context` brings says who we are.
        SettingsError when the key is none of Apple's.
        """
        self._token: ProviderToken = NoProviderToken() if key is None else SharedProviderToken(key, clock=clock)
        self._endpoints = {False: production, True: sandbox}
        self._pools: dict[bool, ApnsPool] = {}
        self._ssl_context = ssl_context
        self._emulated = emulated
        self._limits = replace(limits, max_connections=max_connections, request_timeout_s=request_timeout_s)
        self._jitter = jitter
        self._sending = 0
        self._is_idle = asyncio.Event()
        self._is_draining = False

    @property
    def emulated(self) -> bool:
        return self._emulated

    @property
    def connections(self) -> int:
        """How many take pushes now."""
        return sum(len(pool.connections) for pool in self._pools.values())

    async def send(self, request: ApnsRequest) -> Outcome:
        """Always ends: each attempt within the limits of queue and request, and there are four at most.

        Raises CancelledError only.
        """
        if self._is_draining:
            return unsent("the provider is closed")
        refusal = _refusal(request)
        if refusal is not None:
            return refusal
        self._sending += 1
        try:
            return await self._deliver(request)
        except Exception:
            # Our own mistake. It may have happened after the push was written.
            log.exception("push %s to %s failed", request.apns_id, redacted(request.device_token))
            return uncertain("the APNs provider failed")
        finally:
            self._sending -= 1
            if not self._sending:
                self._is_idle.set()

    async def drain(self, *, timeout_s: float) -> None:
        """Take no more pushes, wait for the outcomes of the others at most `timeout_s`, close."""
        self._is_draining = True
        self._is_idle.clear()
        try:
            if self._sending:
                async with asyncio.timeout(timeout_s):
                    await self._is_idle.wait()
        except TimeoutError:
            log.warning("%d pushes had no outcome after %g s", self._sending, timeout_s)
        finally:
            await self.close()

    async def close(self) -> None:
        self._is_draining = True
        for pool in self._pools.values():
            await pool.shut()

    async def _deliver(self, request: ApnsRequest) -> Outcome:
        """Try, and once more for each thing that can be put right at once."""
        tried: set[str] = set()
        while True:
            reply, authorization = await self._pool(sandbox=request.sandbox).send(request)
            remedy = self._remedy(reply, authorization)
            if remedy is None or remedy in tried:
                return outcome_of(reply)
            tried.add(remedy)

    def _remedy(self, reply: Reply, authorization: str) -> str | None:
        """What may help at once: it is done by now, or the connection has seen to it. None: nothing."""
        if isinstance(reply, Bounced):
            return "another connection"
        if not isinstance(reply, ApnsAnswer):
            return None
        if reply.reason in UNPROCESSED:
            return "another connection"
        if reply.reason == UNRELATED_KEY:
            return "a new connection"
        if reply.reason == EXPIRED_PROVIDER_TOKEN and self._token.replace(authorization):
            return "a new provider token"
        return None

    def _pool(self, *, sandbox: bool) -> ApnsPool:
        pool = self._pools.get(sandbox)
        if pool is None:
            pool = self._pools[sandbox] = ApnsPool(
                endpoint=self._endpoints[sandbox],
                token=self._token,
                ssl_context=self._ssl_context,
                limits=self._limits,
                jitter=self._jitter,
            )
        return pool


def _refusal(request: ApnsRequest) -> Rejected | None:
    """What needs no question to APNs: 4xx answers slow a connection down and may end it."""
    size_bytes = len(request.payload)
    if size_bytes > MAX_PAYLOAD_BYTES:
        receipt = too_big(size_bytes, MAX_PAYLOAD_BYTES)
        return Rejected(status=413, reason="PayloadTooLarge", receipt=receipt)
    reason = bad_field(request)
    return refused_here(reason) if reason is not None else None
