"""Virtual devices and projects without an id: the same ones each time."""

import re
import uuid

import pytest

from expo_gateway.protocol.device import Platform, Project, project_id_of, virtual_device

PROJECT = Project(project_id=project_id_of("@emulator/app"), full_name="@emulator/app")
TOKENS = [f"ExponentPushToken[{number:022d}]" for number in range(200)]


def test_a_token_has_the_same_device_each_time() -> None:
    one, other = (virtual_device(TOKENS[0], project=PROJECT, platform=None, now=now) for now in (1.0, 1.0))

    assert one == other


def test_without_a_platform_there_are_iphones_and_android_phones() -> None:
    phones = [virtual_device(token, project=PROJECT, platform=None, now=0.0).platform for token in TOKENS]

    assert 70 < phones.count(Platform.IOS) < 130


@pytest.mark.parametrize("platform", list(Platform))
def test_no_two_tokens_share_a_device_token(platform: Platform) -> None:
    devices = {virtual_device(token, project=PROJECT, platform=platform, now=0.0).device_token for token in TOKENS}

    assert len(devices) == len(TOKENS)


def test_an_iphones_device_token_is_64_lower_case_hex_digits() -> None:
    device = virtual_device(TOKENS[0], project=PROJECT, platform=Platform.IOS, now=0.0)

    assert re.fullmatch("[0-9a-f]{64}", device.device_token)


def test_an_android_phones_device_token_looks_like_fcms() -> None:
    device = virtual_device(TOKENS[0], project=PROJECT, platform=Platform.ANDROID, now=0.0)

    assert re.fullmatch(r"[\w-]{22}:APA91b[\w-]{134}", device.device_token, re.ASCII)


def test_a_virtual_device_is_marked_as_one() -> None:
    assert virtual_device("x", project=PROJECT, platform=None, now=0.0).virtual


def test_a_projects_id_is_a_uuid_that_depends_on_its_name_only() -> None:
    assert (
        project_id_of("@a/b") == project_id_of("@a/b") == str(uuid.UUID(project_id_of("@a/b"))) != project_id_of("@a/c")
    )
