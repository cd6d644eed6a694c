"""Whose push token it is, beside real projects."""

from collections.abc import AsyncIterator

import pytest

from expo_gateway.protocol.device import Platform, Project, ProjectKind, project_id_of
from expo_gateway.protocol.project import ConfiguredProject, FcmCredential
from tests.home_assistant.relay_scene import FCM_TOKEN, PHONE, Scene, opened, posted

HOME = Project(project_id=project_id_of("@acme/home"), full_name="@acme/home", kind=ProjectKind.REAL)
REAL_TOKEN = "dXyZ0123456789abcdefgh:APA91b" + "Ab3_-" * 27


@pytest.fixture(params=[None, "@acme/home"], ids=["no project named", "a real project named"])
async def named(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Scene, str | None]]:
    async with opened(project=request.param) as scene:
        await scene.registry.configure(ConfiguredProject(project=HOME, fcm=FcmCredential(service_account={})))
        await scene.live.refresh()
        yield scene, request.param


async def test_beside_a_real_project_fcm_tokens_go_to_the_one_that_is_named(named: tuple[Scene, str | None]) -> None:
    scene, project = named

    answer = await scene.relay().push("android", posted(REAL_TOKEN))

    devices = await scene.registry.list_devices()
    assert answer.status == (404 if project is None else 201)
    assert [device.project.full_name for device in devices] == ([] if project is None else ["@acme/home"])


async def test_what_has_not_the_form_of_googles_is_not_sent_to_google(named: tuple[Scene, str | None]) -> None:
    scene, _ = named

    assert (await scene.relay().push("android", posted(FCM_TOKEN))).status == 404
    assert await scene.registry.count_devices() == 0


async def test_expo_push_tokens_that_nobody_registered_are_unknown_there(named: tuple[Scene, str | None]) -> None:
    scene, _ = named

    assert (await scene.relay().push("legacy", posted(PHONE))).status == 404


async def test_a_project_without_credentials_is_our_own_fault(named: tuple[Scene, str | None]) -> None:
    scene, _ = named
    push_token = await scene.register(Platform.IOS, "b2" * 32, project=HOME)

    answer = await scene.relay().push("legacy", posted(push_token))

    assert (answer.status, answer.body["errorType"]) == (500, "InternalError")
    assert "APNs credentials" in str(answer.body["message"])


async def test_a_project_that_asks_for_an_access_token_is_sent_for_with_it_only() -> None:
    async with opened(project="@acme/home") as scene:
        home = ConfiguredProject(project=HOME, requires_token=True, fcm=FcmCredential(service_account={}))
        await scene.registry.configure(home)
        await scene.live.refresh()

        answer = await scene.relay().push("android", posted(REAL_TOKEN))

        assert answer.status in (401, 403)
        assert (answer.body["errorType"], bool(answer.body["message"])) == ("Unauthorized", True)


async def test_a_project_that_is_named_but_not_there_has_no_phones() -> None:
    async with opened(project="@acme/missing") as scene:
        assert (await scene.relay().push("android", posted(REAL_TOKEN))).status == 404
