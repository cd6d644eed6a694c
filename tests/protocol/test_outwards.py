import pytest
from msgspec.structs import replace

from expo_gateway.protocol.device import Device, Platform, Project, ProjectKind, virtual_device
from expo_gateway.protocol.outwards import why_kept_in, why_never_forwarded
from tests.magic_push_tokens import magic_push_token

TOKEN = "ExponentPushToken[0123456789abcdefghijkl]"
SHOP = Project(project_id="d3a7c0de-0000-4000-8000-000000000001", full_name="@acme/shop", kind=ProjectKind.REAL)
OF_APPLE = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad"
OF_GOOGLE = "fUjRy5SrT9qk3Xv0ZbC7dE:APA91b" + "Hq3vT0-kL8_xWz5mN2pR7sYdJ4uG6iC9oB1eAfKtVhXlZwQyEnMrSjDgUbIcPaO" * 2


@pytest.fixture
def iphone() -> Device:
    return Device(
        push_token=TOKEN,
        project=SHOP,
        platform=Platform.IOS,
        device_token=OF_APPLE,
        app_id="com.acme.shop",
        registered_at=0.0,
    )


def test_a_phone_with_a_device_token_of_apples_is_sent_to(iphone: Device) -> None:
    assert why_kept_in(iphone) == ""


def test_a_phone_with_a_device_token_of_googles_is_sent_to(iphone: Device) -> None:
    assert why_kept_in(replace(iphone, platform=Platform.ANDROID, device_token=OF_GOOGLE)) == ""


@pytest.mark.parametrize(
    "device_token",
    ["", "a1" * 32, "0" * 64, OF_APPLE[:-2], OF_APPLE + "0", OF_APPLE.upper(), OF_GOOGLE, OF_APPLE + "\n"],
)
def test_what_has_not_the_form_of_apples_tokens_stays(iphone: Device, device_token: str) -> None:
    assert why_kept_in(replace(iphone, device_token=device_token)) == "its device token has not the form of Apple's"


@pytest.mark.parametrize("device_token", ["test-token", OF_APPLE, OF_GOOGLE.replace(":", "-"), "x" * 22 + ":APA91b"])
def test_what_has_not_the_form_of_googles_tokens_stays(iphone: Device, device_token: str) -> None:
    phone = replace(iphone, platform=Platform.ANDROID, device_token=device_token)

    assert why_kept_in(phone) == "its device token has not the form of Google's"


@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize("virtual", [True, False])
def test_a_virtual_device_stays_whatever_the_registry_calls_it(platform: Platform, *, virtual: bool) -> None:
    device = replace(virtual_device(TOKEN, project=SHOP, platform=platform, now=0.0), virtual=virtual)

    assert why_kept_in(device) == "it belongs to a virtual device"


@pytest.mark.parametrize("platform", Platform)
def test_the_device_token_of_a_magic_device_stays(iphone: Device, platform: Platform) -> None:
    mark = "magic-toobig-"
    magic = virtual_device(TOKEN, project=SHOP, platform=platform, now=0.0, mark=mark).device_token

    assert why_kept_in(replace(iphone, platform=platform, device_token=magic)) == "it belongs to a virtual device"


def test_a_phone_of_an_emulated_project_stays(iphone: Device) -> None:
    emulated = replace(SHOP, kind=ProjectKind.EMULATED)

    assert why_kept_in(replace(iphone, project=emulated)) == "its project @acme/shop is emulated"


def test_a_push_token_as_expo_makes_them_can_be_named() -> None:
    assert why_never_forwarded(TOKEN) == ""


@pytest.mark.parametrize("token", [magic_push_token("toobig"), "ExponentPushToken[magic-nosuchkind-1]"])
def test_a_magic_push_token_can_not_be_named(token: str) -> None:
    assert "magic" in why_never_forwarded(token)


@pytest.mark.parametrize("token", ["", "*", "ExponentPushToken[*]", "ExponentPushToken[short]", TOKEN + " "])
def test_what_is_no_push_token_can_not_be_named(token: str) -> None:
    assert why_never_forwarded(token) == "no push token as Expo makes them"
