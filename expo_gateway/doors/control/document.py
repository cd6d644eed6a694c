"""The OpenAPI document of everything that the gateway speaks, as it is shipped."""

from pathlib import Path
from typing import Final

import expo_gateway
from expo_gateway.doors.control.answers import Reply, Written
from expo_gateway.doors.control.operation import Asked, Operation

DOCUMENT: Final = Path(expo_gateway.__file__).with_name("openapi.json")


async def get_document(asked: Asked) -> Reply:
    asked.no_query()
    return Reply(value=Written(body=DOCUMENT.read_bytes()))


OPERATIONS: Final = (Operation(method="GET", path="/openapi.json", answer=get_document),)
