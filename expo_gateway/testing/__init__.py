"""For tests of what sends push notifications: a gateway, runs of one's own in it, and what to ask them.

    with expo_gateway.testing.gateway() as gateway, gateway.run() as run:
        ...  # the code under test sends to run.url
        run.wait_for(title="Hello")

Everything goes through the control API, as `openapi.json` describes it, over the standard library's HTTP. It blocks:
in async tests call it by `asyncio.to_thread`. Under pytest the fixture `expo_gateway` is a run: see `pytest_plugin.py`.
"""

from expo_gateway.testing.control import ControlRefused, GatewayGone
from expo_gateway.testing.filters import Filter
from expo_gateway.testing.gateway import Gateway, gateway
from expo_gateway.testing.records import (
    Capture,
    ClockFace,
    Delivery,
    DeliveryLife,
    Device,
    Receipt,
)
from expo_gateway.testing.run import Run
from expo_gateway.testing.run_parts import Clock, Devices, Fault
from expo_gateway.testing.unmet import NotSent, NotSettled

__all__ = [
    "Capture",
    "Clock",
    "ClockFace",
    "ControlRefused",
    "Delivery",
    "DeliveryLife",
    "Device",
    "Devices",
    "Fault",
    "Filter",
    "Gateway",
    "GatewayGone",
    "NotSent",
    "NotSettled",
    "Receipt",
    "Run",
    "gateway",
]
