"""Named worlds, made: stores in memory, a dispatcher that starts with the first message, providers of their own."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import count

from expo_gateway.admission.desk import Admission
from expo_gateway.clock import RunClock
from expo_gateway.dispatcher.holds import Holds
from expo_gateway.dispatcher.loop import Dispatcher
from expo_gateway.dispatcher.sender import Sender
from expo_gateway.emulated_providers import EmulatedProviders
from expo_gateway.emulators.virtual_devices import VirtualDevices
from expo_gateway.emulators.world import EmulatedWorld
from expo_gateway.gateway import RECEIPTS_KEPT_S, Gateway, TokenPolicy
from expo_gateway.journal.journal import Journal
from expo_gateway.late_emulated import LateEmulated
from expo_gateway.outbox.memory import MemoryBatches, MemoryOutbox
from expo_gateway.registry.memory import MAX_DEVICES, MemoryRegistry
from expo_gateway.run_providers import OpenProviders, RunCredential, RunKeys, RunProviders
from expo_gateway.settings import Settings
from expo_gateway.world import LateDispatcher, World, owners

# Nobody else writes to a run's outbox; a moved clock and a new batch wake its dispatcher themselves.
POLL_S = 60.0


class RunMaker:
    """Makes the worlds of runs. `policy` is that of the default world."""

    def __init__(self, settings: Settings, *, emulators: LateEmulated, policy: TokenPolicy) -> None:
        self._settings = settings
        self._emulators = emulators
        self._policy = policy
        self._keys = RunKeys(emulators.addresses)
        # One for all: each takes some milliseconds to make.
        self._tls_context = cache(emulators.tls.client_context)
        self._numbers = count(1)
        self.all_open = OpenProviders()

    def make(self, name: str) -> World:
        clock = RunClock()
        journal = Journal(clock=clock.now, max_deliveries=self._settings.runs.max_deliveries)
        emulated = EmulatedWorld(
            clock=clock.now,
            apns_devices=VirtualDevices(max_devices=MAX_DEVICES),
            fcm_devices=VirtualDevices(max_devices=MAX_DEVICES),
            magic_devices=self._policy.magic,
            owner_of=owners(journal),
        )
        registry = MemoryRegistry(projects=[self._policy.project])
        outbox = MemoryOutbox(MemoryBatches())
        credential = RunCredential(
            number=next(self._numbers), world=emulated, emulators=self._emulators, keys=self._keys
        )
        providers = RunProviders(
            lambda: self._providers(credential, clock), credential=credential, all_open=self.all_open
        )
        holds, admission = Holds(), Admission()
        dispatcher = Dispatcher(
            outbox=outbox,
            registry=registry,
            sender=Sender(
                providers=lambda _: providers.of_projects,
                registry=registry,
                holds=holds,
                clock=clock.now,
                jitter=random.random,
                retry_budget_s=self._settings.dispatcher.retry_budget_s,
                observer=journal,
            ),
            clock=clock.now,
            receipts_kept_s=RECEIPTS_KEPT_S,
            poll_s=POLL_S,
        )
        clock.watch(dispatcher.clock_moved)
        running = LateDispatcher(dispatcher, name=name)
        gateway = Gateway(
            registry=registry,
            outbox=outbox,
            policy=self._policy,
            clock=clock.now,
            random_bytes=os.urandom,
            wake=running,
            admission=admission,
            receipts_need_token=self._settings.server.receipts_need_token,
            observer=journal,
        )

        async def close() -> None:
            await running.close()
            await providers.close()
            credential.forget()

        return World(
            name=name,
            clock=clock,
            journal=journal,
            registry=registry,
            outbox=outbox,
            gateway=gateway,
            dispatcher=dispatcher,
            admission=admission,
            holds=holds,
            emulated=emulated,
            project=self._policy.project,
            on_close=close,
        )

    def _providers(self, credential: RunCredential, clock: RunClock) -> EmulatedProviders:
        return EmulatedProviders(
            self._emulators.addresses,
            tls_context=self._tls_context,
            apns_key=credential.apns_key,
            clock=clock.now,
            magic_devices=self._policy.magic,
            fcm_key=credential.fcm_account,
        )


@asynccontextmanager
async def open_run_maker(
    settings: Settings, *, emulators: LateEmulated, policy: TokenPolicy
) -> AsyncIterator[RunMaker]:
    """Inside, idle runs close their connections. Whoever makes worlds closes them before the end."""
    maker = RunMaker(settings, emulators=emulators, policy=policy)
    watching = asyncio.create_task(maker.all_open.watch(), name="idle providers")
    try:
        yield maker
    finally:
        watching.cancel()
        await asyncio.wait({watching})
