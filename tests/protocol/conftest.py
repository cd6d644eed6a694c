"""What the protocol's tests share: a project, an iPhone and an Android phone."""

import pytest
from msgspec.structs import replace

from expo_gateway.protocol.device import Device, Platform, Project

# Of the sample in Expo's documentation.
PROJECT = Project(project_id="51092087-87a4-4b12-8008-145625477434", full_name="@betoatexpo/expo-notifications-app")


@pytest.fixture
def iphone() -> Device:
    return Device(
        push_token="ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]",
        project=PROJECT,
        platform=Platform.IOS,
        device_token="a1" * 32,
        app_id="dev.expo.notificationsapp",
        registered_at=1_767_600_000.0,
    )


@pytest.fixture
def android_phone(iphone: Device) -> Device:
    return replace(iphone, platform=Platform.ANDROID, device_token="cTokenOfAnInstallation:APA91bTheRest")
