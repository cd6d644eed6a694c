from collections.abc import AsyncIterator

import pytest

from tests.doors.home_assistant.scene import Scene, doors


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with doors() as open_doors:
        yield open_doors
