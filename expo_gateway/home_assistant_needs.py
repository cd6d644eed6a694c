"""What Home Assistant's relay, local push and services are made of."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from expo_gateway.admission.desk import Admission
from expo_gateway.gateway import Gateway, TokenPolicy
from expo_gateway.outbox.base import Outbox
from expo_gateway.registry.base import Registry
from expo_gateway.settings import Settings
from expo_gateway.sqlite_file import SqliteFile


class Stores(Struct, frozen=True, kw_only=True):
    file: SqliteFile
    outbox: Outbox
    registry: Registry


class Needs(Struct, frozen=True, kw_only=True):
    """What Home Assistant's doors are made of."""

    settings: Settings
    stores: Stores
    gateway: Gateway
    policy: TokenPolicy
    admission: Admission
    waits_for_phone: Callable[[str, bool], None]
    """Of the dispatcher."""
    clock: Callable[[], float]
    stopping: asyncio.Event
    port: int | None
    """On which clients reach us, None: not known."""
    can_listen: bool
    """Whether there is one process: apps that listen are all here."""
