"""Faults of the Expo API, as its send door asks for them. Apart from the operations, which a start does not load."""

from collections.abc import Awaitable, Callable, Collection

from expo_gateway.emulators.fault_rules import take_request_fault
from expo_gateway.request_faults import RequestAct
from expo_gateway.world import World


def request_faults(world: World) -> Callable[[Collection[str]], Awaitable[RequestAct | None]]:
    """What the send door of this world asks with the push tokens of each request."""

    async def fault_of(push_tokens: Collection[str]) -> RequestAct | None:
        faults = world.emulated.faults
        if "expo" not in faults:
            return None
        devices = await world.registry.devices(list(push_tokens))
        project = next(iter(devices.values())).project if devices else world.project
        return take_request_fault(faults, push_tokens, project.full_name, now=world.clock.now())

    return fault_of
