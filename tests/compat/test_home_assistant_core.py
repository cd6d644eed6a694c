"""Home Assistant core 2024.3.3, unmodified: it stands the tests that the gateway stands as a server of local push."""

from collections.abc import Iterator

import pytest

from tests.compat.home_assistant_core import HomeAssistantCore, running_home_assistant
from tests.compat.local_push_contract import LocalPushContract, lose_the_channel_by_one_missed_confirmation
from tests.compat.posted import Posted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistantCore]:
    with running_home_assistant(tmp_path_factory.mktemp("core")) as core:
        yield core


class TestLocalPush(LocalPushContract):
    def test_one_missed_confirmation_ends_the_channel_silently(self, home: HomeAssistantCore, cloud: Posted) -> None:
        lose_the_channel_by_one_missed_confirmation(home, cloud)
