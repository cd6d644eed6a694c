"""The devices of a batch, seen once."""

import pytest
from msgspec.structs import replace

from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind, virtual_device
from expo_gateway.recipients import recipients_of

PROJECT = Project(project_id="1" * 36, full_name="@a/b")
OTHER = Project(project_id="2" * 36, full_name="@a/c", kind=ProjectKind.REAL)
PHONE = virtual_device("ExponentPushToken[a]", project=PROJECT, platform=Platform.IOS, now=0.0)
REAL = replace(PHONE, virtual=False, project=OTHER)


def test_nobody_is_of_no_project() -> None:
    nobody = recipients_of([])

    assert (nobody.projects, nobody.apps, nobody.is_any_real, nobody.are_of_one_project) == ([], [], False, True)


def test_each_app_platform_and_environment_is_there_once_in_whatever_order_they_come() -> None:
    android, development = replace(PHONE, platform=Platform.ANDROID), replace(PHONE, sandbox=True)
    other_app = replace(PHONE, app_id="other")

    apps = recipients_of([PHONE, other_app, android, PHONE, development, other_app, android]).apps

    assert {(one.app_id, one.platform, one.sandbox) for one in apps} == {
        (one.app_id, one.platform, one.sandbox) for one in (PHONE, android, development, other_app)
    }
    assert len(apps) == 4


def test_equal_projects_are_one_and_different_ones_are_not() -> None:
    twin = replace(PHONE, project=replace(PROJECT))

    assert recipients_of([PHONE, twin]).are_of_one_project
    assert not recipients_of([PHONE, REAL, PHONE]).are_of_one_project


@pytest.mark.parametrize(
    ("odd", "seen"),
    [
        (REAL, (True, True, False)),
        (replace(PHONE, gone_at=1.0), (False, True, True)),
        (PHONE, (False, True, False)),
    ],
)
def test_one_odd_device_among_many_is_seen(odd: Device, seen: tuple[bool, bool, bool]) -> None:
    found = recipients_of([PHONE] * 5 + [odd] + [PHONE] * 5)

    assert (found.is_any_real, found.has_virtual, found.has_gone) == seen


def test_registered_devices_are_not_virtual() -> None:
    assert not recipients_of([REAL, REAL]).has_virtual
