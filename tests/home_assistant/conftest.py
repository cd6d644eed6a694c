"""What these tests share: a relay's surroundings."""

from collections.abc import AsyncIterator

import pytest

from tests.home_assistant.relay_scene import Scene, opened


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened() as scene:
        yield scene
