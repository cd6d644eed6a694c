"""What every registry must do. A store's test module subclasses this and gives the fixture `registry`, empty."""

import asyncio

import pytest
from msgspec.structs import replace

from expo_gateway.protocol.device import Device, Platform, Project, Registration
from expo_gateway.registry.base import Registry

NOW = 1_790_000_000.0
PROJECT = Project(project_id="6d9b1f0e-6c0a-5d5e-9a3e-0c6f1f6f7a11", full_name="@owner/slug")
OTHER_PROJECT = Project(project_id="0b2a9c9a-5f7e-4a55-8a39-4f2c9b8e1d20", full_name="@owner/other")
PUSH_TOKEN = "ExponentPushToken[aaaaaaaaaaaaaaaaaaaaaa]"
OTHER_PUSH_TOKEN = "ExponentPushToken[bbbbbbbbbbbbbbbbbbbbbb]"
VIRTUAL = Device(
    push_token=PUSH_TOKEN,
    project=PROJECT,
    platform=Platform.ANDROID,
    device_token="a registration token",
    app_id="com.example.app",
    registered_at=NOW,
    virtual=True,
)
REGISTRATION = Registration(
    device_id="3f2a",
    app_id="com.example.app",
    project=PROJECT,
    platform=Platform.IOS,
    device_token="a1b2",
    sandbox=True,
)


class RegistryContract:
    # -- devices ----------------------------------------------------------------------------------------------------

    async def test_an_enrolled_device_is_found_as_it_was_given(self, registry: Registry) -> None:
        assert await registry.enrol([VIRTUAL]) == {PUSH_TOKEN: VIRTUAL}
        assert await registry.devices([PUSH_TOKEN]) == {PUSH_TOKEN: VIRTUAL}

    async def test_unknown_push_tokens_are_left_out(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])

        assert list(await registry.devices([OTHER_PUSH_TOKEN, PUSH_TOKEN, PUSH_TOKEN, ""])) == [PUSH_TOKEN]
        assert await registry.devices([]) == {}

    async def test_a_push_token_that_is_there_stays_as_it_is(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])
        fresh = replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)

        stored = await registry.enrol([replace(VIRTUAL, device_token="another"), fresh])

        assert stored == {PUSH_TOKEN: VIRTUAL, OTHER_PUSH_TOKEN: fresh}

    async def test_of_devices_with_one_push_token_the_first_is_enrolled(self, registry: Registry) -> None:
        assert await registry.enrol([VIRTUAL, replace(VIRTUAL, device_token="another")]) == {PUSH_TOKEN: VIRTUAL}

    async def test_devices_of_several_projects_are_enrolled_at_once(self, registry: Registry) -> None:
        other = replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN, project=OTHER_PROJECT)

        assert await registry.enrol([VIRTUAL, other]) == {PUSH_TOKEN: VIRTUAL, OTHER_PUSH_TOKEN: other}
        assert await registry.projects() == [OTHER_PROJECT, PROJECT]

    async def test_thousands_of_devices_are_found_at_once(self, registry: Registry) -> None:
        devices = [replace(VIRTUAL, push_token=f"ExponentPushToken[{i:022}]") for i in range(2000)]
        await registry.enrol(devices)

        found = await registry.devices([device.push_token for device in devices])

        assert found == {device.push_token: device for device in devices}

    async def test_enrolling_nobody_is_nothing(self, registry: Registry) -> None:
        assert await registry.enrol([]) == {}

    async def test_a_device_is_found_by_the_token_that_its_provider_gave_it(self, registry: Registry) -> None:
        device = await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])

        assert await registry.device_with_token(REGISTRATION.device_token) == device
        assert (await registry.device_with_token(VIRTUAL.device_token) or device).push_token == OTHER_PUSH_TOKEN
        assert await registry.device_with_token("nobody's") is None

    async def test_of_several_devices_with_a_token_the_living_one_that_registered_last_is_found(
        self, registry: Registry
    ) -> None:
        token = REGISTRATION.device_token
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        later = replace(REGISTRATION, project=OTHER_PROJECT)
        await registry.register(later, push_token=OTHER_PUSH_TOKEN, now=NOW + 1)

        found = await registry.device_with_token(token)
        await registry.mark_gone(OTHER_PUSH_TOKEN, device_token=token, gone_at=NOW + 2)
        found_alive = await registry.device_with_token(token)

        assert (found and found.push_token, found_alive and found_alive.push_token) == (OTHER_PUSH_TOKEN, PUSH_TOKEN)

    async def test_a_local_device_is_registered_like_any_and_found_by_its_push_token_only(
        self, registry: Registry
    ) -> None:
        local = replace(REGISTRATION, platform=Platform.LOCAL, sandbox=False)

        device = await registry.register(local, push_token=PUSH_TOKEN, now=NOW)

        assert device.platform is Platform.LOCAL
        assert await registry.devices([PUSH_TOKEN]) == {PUSH_TOKEN: device}
        assert await registry.device_with_token(local.device_token) is None

    # -- register ---------------------------------------------------------------------------------------------------

    async def test_a_new_device_gets_the_push_token(self, registry: Registry) -> None:
        device = await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)

        assert device == Device(
            push_token=PUSH_TOKEN,
            project=PROJECT,
            platform=Platform.IOS,
            device_token="a1b2",
            app_id="com.example.app",
            registered_at=NOW,
            sandbox=True,
        )
        assert await registry.devices([PUSH_TOKEN]) == {PUSH_TOKEN: device}
        assert await registry.projects() == [PROJECT]

    async def test_a_known_device_keeps_its_push_token_and_takes_all_else(self, registry: Registry) -> None:
        first = await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        again = replace(REGISTRATION, device_token="c3d4", platform=Platform.ANDROID, sandbox=False)

        device = await registry.register(again, push_token=OTHER_PUSH_TOKEN, now=NOW + 1)

        assert device == replace(
            first, device_token="c3d4", platform=Platform.ANDROID, sandbox=False, registered_at=NOW + 1
        )
        assert list(await registry.devices([PUSH_TOKEN, OTHER_PUSH_TOKEN])) == [PUSH_TOKEN]

    async def test_registering_makes_a_gone_device_alive_again(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)

        assert (await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW + 2)).gone_at is None

    async def test_another_device_app_or_project_gets_a_push_token_of_its_own(self, registry: Registry) -> None:
        registrations = [
            REGISTRATION,
            replace(REGISTRATION, device_id="other"),
            replace(REGISTRATION, app_id="com.example.other"),
            replace(REGISTRATION, project=OTHER_PROJECT),
        ]

        devices = [
            await registry.register(registration, push_token=f"ExponentPushToken[{i:022}]", now=NOW)
            for i, registration in enumerate(registrations)
        ]

        assert [device.push_token for device in devices] == [f"ExponentPushToken[{i:022}]" for i in range(4)]

    async def test_the_push_token_of_another_device_is_not_given_away(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])
        elsewhere = replace(REGISTRATION, project=OTHER_PROJECT)

        with pytest.raises(ValueError, match="another device's"):
            await registry.register(elsewhere, push_token=PUSH_TOKEN, now=NOW)

        assert await registry.devices([PUSH_TOKEN]) == {PUSH_TOKEN: VIRTUAL}
        assert await registry.projects() == [PROJECT]

    async def test_a_device_that_registers_many_times_at_once_gets_one_push_token(self, registry: Registry) -> None:
        devices = await asyncio.gather(
            *[registry.register(REGISTRATION, push_token=f"ExponentPushToken[{i:022}]", now=NOW) for i in range(20)]
        )

        assert len({device.push_token for device in devices}) == 1

    # -- rotation ---------------------------------------------------------------------------------------------------

    async def test_a_rotated_device_token_reaches_every_project_of_the_device(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        other = replace(REGISTRATION, project=OTHER_PROJECT)
        await registry.register(other, push_token=OTHER_PUSH_TOKEN, now=NOW)
        await registry.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + 1)

        updated = await registry.update_device_token(
            device_id="3f2a", app_id="com.example.app", device_token="e5f6", platform="ios", sandbox=False, now=NOW + 2
        )

        assert updated == 2
        for device in (await registry.devices([PUSH_TOKEN, OTHER_PUSH_TOKEN])).values():
            assert (device.device_token, device.sandbox, device.registered_at) == ("e5f6", False, NOW + 2)
            assert device.gone_at is None

    async def test_a_rotated_device_token_of_an_unknown_device_changes_nothing(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])

        for device_id, app_id in [("3f2a", "com.example.other"), ("other", "com.example.app"), ("", "")]:
            assert (
                await registry.update_device_token(
                    device_id=device_id, app_id=app_id, device_token="e5f6", platform="ios", sandbox=False, now=NOW
                )
                == 0
            )

        assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].device_token == "a1b2"

    async def test_a_platform_that_does_not_exist_is_a_mistake(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)

        with pytest.raises(ValueError, match="windows"):
            await registry.update_device_token(
                device_id="3f2a", app_id="com.example.app", device_token="x", platform="windows", sandbox=False, now=NOW
            )

    # -- gone -------------------------------------------------------------------------------------------------------

    async def test_a_dead_device_token_marks_its_device_gone(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])

        assert await registry.mark_gone(PUSH_TOKEN, device_token=VIRTUAL.device_token, gone_at=NOW + 1)

        assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == NOW + 1

    async def test_a_device_that_was_just_asked_for_is_gone_at_once(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        for second in range(3):
            assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at is None

            await registry.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW + second)
            assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == NOW + second

            await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW + second)

    async def test_a_device_that_was_just_asked_for_is_forgotten_at_once(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        assert await registry.devices([PUSH_TOKEN])

        await registry.forget_device(PUSH_TOKEN)

        assert await registry.devices([PUSH_TOKEN]) == {}

    async def test_a_device_that_is_gone_stays_so_since_the_earlier_instant(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])
        await registry.mark_gone(PUSH_TOKEN, device_token=VIRTUAL.device_token, gone_at=NOW + 5)

        for gone_at, since in [(NOW + 9, NOW + 5), (NOW + 2, NOW + 2)]:
            assert await registry.mark_gone(PUSH_TOKEN, device_token=VIRTUAL.device_token, gone_at=gone_at)
            assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at == since

    async def test_a_device_that_has_another_device_token_by_now_is_alive(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])

        assert not await registry.mark_gone(PUSH_TOKEN, device_token="the one before", gone_at=NOW + 1)

        assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at is None

    async def test_a_device_that_registered_after_it_was_found_dead_is_alive(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)

        assert not await registry.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW - 1)

        assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].gone_at is None

    async def test_nobody_is_marked_gone_by_an_unknown_push_token(self, registry: Registry) -> None:
        assert not await registry.mark_gone(PUSH_TOKEN, device_token="a1b2", gone_at=NOW)

    # -- projects ---------------------------------------------------------------------------------------------------

    async def test_projects_are_listed_by_name_and_found_by_id(self, registry: Registry) -> None:
        assert await registry.projects() == []
        await registry.add_project(PROJECT)
        await registry.add_project(OTHER_PROJECT)

        assert await registry.projects() == [OTHER_PROJECT, PROJECT]
        assert await registry.project(project_id=PROJECT.project_id) == PROJECT
        assert await registry.project(project_id="unheard of") is None
        assert await registry.project_named(PROJECT.full_name) == PROJECT
        assert await registry.project_named("@unheard/of") is None

    async def test_a_project_with_a_known_id_or_name_stays_as_it_is(self, registry: Registry) -> None:
        assert await registry.add_project(PROJECT) == PROJECT

        assert await registry.add_project(replace(PROJECT, full_name="@owner/renamed")) == PROJECT
        assert await registry.add_project(replace(OTHER_PROJECT, full_name=PROJECT.full_name)) == PROJECT
        assert await registry.projects() == [PROJECT]

    async def test_devices_of_a_project_with_a_known_name_belong_to_the_one_that_is_there(
        self, registry: Registry
    ) -> None:
        await registry.add_project(PROJECT)
        twin = replace(OTHER_PROJECT, full_name=PROJECT.full_name)

        device = await registry.register(replace(REGISTRATION, project=twin), push_token=PUSH_TOKEN, now=NOW)
        await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN, project=twin)])

        assert device.project == PROJECT
        assert (await registry.devices([OTHER_PUSH_TOKEN]))[OTHER_PUSH_TOKEN].project == PROJECT

    async def test_of_new_projects_with_one_name_there_is_one(self, registry: Registry) -> None:
        twin = replace(OTHER_PROJECT, full_name=PROJECT.full_name)

        enrolled = await registry.enrol([VIRTUAL, replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN, project=twin)])

        (project,) = await registry.projects()
        assert [device.project for device in enrolled.values()] == [project, project]
