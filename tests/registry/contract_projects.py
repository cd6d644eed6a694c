"""What every registry must do with what is configured for projects."""

import dataclasses

import pytest
from msgspec.structs import replace

from expo_gateway.protocol.device import ProjectKind
from expo_gateway.protocol.project import (
    AccessToken,
    ApnsCertificate,
    ApnsCredential,
    ApnsKeyFile,
    ConfiguredProject,
    FcmCredential,
)
from expo_gateway.registry.base import Registry
from tests.registry.contract import (
    NOW,
    OTHER_PROJECT,
    OTHER_PUSH_TOKEN,
    PROJECT,
    PUSH_TOKEN,
    REGISTRATION,
    VIRTUAL,
)

KEY = ApnsKeyFile(key_id="ABCDEFGHIJ", team_id="TEAMTEAM12", private_key_pem="a key")
CERTIFICATE = ApnsCertificate(certificate_pem="a certificate", private_key_pem="its key")
REAL = replace(PROJECT, kind=ProjectKind.REAL)
CONFIGURED = ConfiguredProject(
    project=REAL,
    requires_token=True,
    notifications_per_second=600,
    apns=(
        ApnsCredential(secret=KEY, environment="sandbox", bundle_ids=("com.acme.shop", "com.acme.desk")),
        ApnsCredential(secret=CERTIFICATE, environment="both"),
    ),
    fcm=FcmCredential(service_account={"client_email": "push@acme", "private_key": "another key"}),
)
TOKEN = AccessToken(name="ci", sha256=b"\x01" * 32, hint="egt_abcd…yz", created_at=NOW)


class ConfiguredProjectsContract:
    async def test_what_is_configured_is_found_as_it_was_given(self, registry: Registry) -> None:
        await registry.configure(CONFIGURED)

        assert await registry.configured_projects() == [CONFIGURED]
        assert await registry.project(project_id=REAL.project_id) == REAL

    async def test_a_project_that_nobody_configured_is_emulated_and_free(self, registry: Registry) -> None:
        await registry.add_project(PROJECT)

        assert await registry.configured_projects() == [ConfiguredProject(project=PROJECT)]

    async def test_configuring_again_replaces_all_but_the_tokens(self, registry: Registry) -> None:
        await registry.configure(CONFIGURED)
        await registry.add_access_token(REAL.project_id, TOKEN)
        bare = ConfiguredProject(project=replace(PROJECT, full_name="@owner/renamed"))

        await registry.configure(bare)

        assert await registry.configured_projects() == [replace(bare, tokens=(TOKEN,))]

    async def test_a_name_has_one_project(self, registry: Registry) -> None:
        await registry.add_project(OTHER_PROJECT)

        with pytest.raises(ValueError, match="is the name of project"):
            await registry.configure(replace(CONFIGURED, project=replace(REAL, full_name=OTHER_PROJECT.full_name)))

        assert await registry.projects() == [OTHER_PROJECT]

    async def test_devices_know_what_kind_of_project_they_are_of(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.configure(CONFIGURED)

        assert (await registry.devices([PUSH_TOKEN]))[PUSH_TOKEN].project == REAL

    async def test_every_change_counts_the_version_up(self, registry: Registry) -> None:
        seen = [await registry.projects_version()]
        for change in (
            lambda: registry.add_project(PROJECT),
            lambda: registry.configure(CONFIGURED),
            lambda: registry.add_access_token(REAL.project_id, TOKEN),
            lambda: registry.revoke_access_token(REAL.project_id, TOKEN.name),
            lambda: registry.remove_project(REAL.project_id),
        ):
            await change()
            seen.append(await registry.projects_version())
        await registry.enrol([VIRTUAL])
        enrolled = await registry.projects_version()
        await registry.enrol([replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)])

        assert sorted(set(seen)) == seen
        assert await registry.projects_version() == enrolled

    async def test_tokens_have_names_of_their_own_in_a_project(self, registry: Registry) -> None:
        await registry.add_project(PROJECT)
        again = dataclasses.replace(TOKEN, sha256=b"\x02" * 32)

        assert await registry.add_access_token(PROJECT.project_id, TOKEN)
        assert not await registry.add_access_token(PROJECT.project_id, again)
        assert (await registry.configured_projects())[0].tokens == (TOKEN,)

    async def test_tokens_are_listed_by_name(self, registry: Registry) -> None:
        await registry.add_project(PROJECT)
        tokens = [
            dataclasses.replace(TOKEN, name=name, sha256=bytes([number]) * 32) for number, name in enumerate("bca")
        ]
        for token in tokens:
            await registry.add_access_token(PROJECT.project_id, token)

        assert [token.name for token in (await registry.configured_projects())[0].tokens] == ["a", "b", "c"]

    async def test_credentials_for_one_environment_come_before_those_for_both(self, registry: Registry) -> None:
        await registry.configure(replace(CONFIGURED, apns=CONFIGURED.apns[::-1]))

        assert (await registry.configured_projects())[0].apns == CONFIGURED.apns

    async def test_there_is_no_token_of_no_project_to_revoke(self, registry: Registry) -> None:
        assert not await registry.revoke_access_token(PROJECT.project_id, TOKEN.name)

    async def test_a_token_of_no_project_is_a_mistake(self, registry: Registry) -> None:
        with pytest.raises(ValueError, match="there is no project"):
            await registry.add_access_token(PROJECT.project_id, TOKEN)

    async def test_a_revoked_token_is_gone(self, registry: Registry) -> None:
        await registry.add_project(PROJECT)
        await registry.add_access_token(PROJECT.project_id, TOKEN)

        assert await registry.revoke_access_token(PROJECT.project_id, TOKEN.name)
        assert not await registry.revoke_access_token(PROJECT.project_id, TOKEN.name)
        assert (await registry.configured_projects())[0].tokens == ()

    async def test_a_removed_project_takes_everything_with_it(self, registry: Registry) -> None:
        await registry.configure(CONFIGURED)
        await registry.add_access_token(REAL.project_id, TOKEN)
        await registry.enrol([replace(VIRTUAL, project=REAL)])

        assert await registry.remove_project(REAL.project_id) == 1

        assert await registry.configured_projects() == []
        assert await registry.devices([PUSH_TOKEN]) == {}
        await registry.configure(ConfiguredProject(project=PROJECT))
        assert await registry.configured_projects() == [ConfiguredProject(project=PROJECT)]

    async def test_devices_are_listed_page_by_page(self, registry: Registry) -> None:
        devices = [replace(VIRTUAL, push_token=f"ExponentPushToken[{i:022}]") for i in range(5)]
        await registry.enrol(devices)
        await registry.register(replace(REGISTRATION, project=OTHER_PROJECT), push_token=PUSH_TOKEN, now=NOW)

        first = await registry.list_devices(project_id=PROJECT.project_id, limit=3)
        rest = await registry.list_devices(project_id=PROJECT.project_id, after=first[-1].push_token)

        assert [*first, *rest] == devices
        assert len(await registry.list_devices()) == 6

    async def test_a_device_of_a_removed_project_registers_as_a_new_one(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.remove_project(PROJECT.project_id)

        device = await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW)

        assert device.push_token == OTHER_PUSH_TOKEN

    async def test_a_forgotten_device_registers_as_a_new_one(self, registry: Registry) -> None:
        await registry.register(REGISTRATION, push_token=PUSH_TOKEN, now=NOW)
        await registry.forget_device(PUSH_TOKEN)
        assert (
            await registry.update_device_token(
                device_id="3f2a", app_id="com.example.app", device_token="x", platform="ios", sandbox=False, now=NOW
            )
            == 0
        )

        device = await registry.register(REGISTRATION, push_token=OTHER_PUSH_TOKEN, now=NOW)

        assert device.push_token == OTHER_PUSH_TOKEN

    async def test_a_forgotten_device_is_unknown(self, registry: Registry) -> None:
        await registry.enrol([VIRTUAL])

        assert await registry.forget_device(PUSH_TOKEN)
        assert not await registry.forget_device(PUSH_TOKEN)
        assert await registry.devices([PUSH_TOKEN]) == {}
