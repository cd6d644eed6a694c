"""Everything that Home Assistant's doors have of their own. Made on the roof, by whoever needs it first."""

from dataclasses import dataclass

from expo_gateway.home_assistant.access import AccessTokens
from expo_gateway.home_assistant.registrations import Registrations
from expo_gateway.home_assistant.relay import Relay
from expo_gateway.providers.channels import Channels
from expo_gateway.providers.local import LocalProvider
from expo_gateway.registry.home_assistant import HomeAssistantStore


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistant:
    store: HomeAssistantStore
    tokens: AccessTokens
    registrations: Registrations
    relay: Relay
    channels: Channels | None
    """None: nobody can listen, there are several processes."""
    provider: LocalProvider
