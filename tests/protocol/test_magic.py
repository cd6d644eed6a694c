"""Magic push tokens: which are, what their devices are like."""

import math

import pytest

from expo_gateway.errors import RequestRefused
from expo_gateway.protocol.device import Device, Platform, Project
from expo_gateway.protocol.magic import (
    MAX_AFTER_S,
    OTHER_PROJECT,
    Magic,
    MagicKind,
    magic_device,
    magic_of,
    magic_of_device,
    names_other_project,
    words,
)
from expo_gateway.protocol.push_token import is_well_formed, passes_sdk_check
from tests.magic_push_tokens import magic_push_token

PROJECT = Project(project_id="0", full_name="@acme/shop")
WORDS = [word.replace("<n>", "30") for word in words()]


def device(word: str, *, platform: Platform | None = None, number: int = 1) -> Device:
    token = magic_push_token(word, number=number)
    magic = magic_of(token)
    assert magic is not None
    return magic_device(token, magic, project=PROJECT, platform=platform, now=5.0)


@pytest.mark.parametrize("word", WORDS)
def test_a_magic_push_token_has_expos_form_and_tells_its_kind(word: str) -> None:
    token = magic_push_token(word, number=7)

    magic = magic_of(token)

    assert (passes_sdk_check(token), is_well_formed(token)) == (True, True)
    assert magic is not None
    assert magic.word == word


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("platform", list(Platform))
def test_the_device_token_tells_the_same(word: str, platform: Platform) -> None:
    assert magic_of_device(device(word, platform=platform).device_token) == magic_of(magic_push_token(word))


@pytest.mark.parametrize(
    "token",
    [
        "ExponentPushToken[magic-gone]",
        "ExponentPushToken[magic-gone-]",
        "ExponentPushToken[magic-gone-A_b-9]",
        "ExpoPushToken[magic-gone-00000000001]",
    ],
)
def test_what_follows_the_kind_is_free(token: str) -> None:
    assert magic_of(token) == Magic(kind=MagicKind.GONE)


@pytest.mark.parametrize(
    "token", ["ExponentPushToken[magical-gone]", "ExponentPushToken[Magic-gone]", "magic-gone", ""]
)
def test_others_are_ordinary(token: str) -> None:
    assert magic_of(token) is None


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "gnoe-1",
        "gone_1",
        "gone!",
        "after",
        "after-30s",
        "after0s",
        "after030s",
        "after86400s",
        "after99999s",
        "GONE",
    ],
)
def test_a_kind_that_does_not_exist_is_refused_and_the_others_are_named(secret: str) -> None:
    with pytest.raises(RequestRefused) as raised:
        magic_of(f"ExponentPushToken[magic-{secret}]")

    assert raised.value.code == "VALIDATION_ERROR"
    assert all(word in raised.value.message for word in words())


def test_when_the_receipt_is_shown() -> None:
    found = [magic_of(magic_push_token(word)) for word in ("gone", "pending", "after30s", f"after{MAX_AFTER_S}s")]

    assert [magic.receipt_after_s for magic in found if magic is not None] == [None, math.inf, 30.0, 86399.0]


def test_numbers_are_devices_of_their_own() -> None:
    devices = [device("credentials", platform=platform, number=n) for n in range(200) for platform in Platform]

    assert len({one.device_token for one in devices}) == 400


@pytest.mark.parametrize("device_token", ["6d616769632d", "6d616769632dzz", "6d616769632d676e6f652d00", "magic-", "a1"])
def test_other_device_tokens_are_ordinary(device_token: str) -> None:
    assert magic_of_device(device_token) is None


@pytest.mark.parametrize("word", WORDS)
def test_devices_are_virtual_ones_of_the_project(word: str) -> None:
    found = device(word)

    assert found.virtual
    assert found.project == (OTHER_PROJECT if word == "otherproject" else PROJECT)
    assert found.gone_at == (5.0 if word == "gone" else None)


def test_only_google_knows_a_mismatch() -> None:
    assert device("mismatch", platform=Platform.IOS).platform is Platform.ANDROID


def test_another_project_is_seen_among_many() -> None:
    ordinary = ["ExponentPushToken[x]"] * 3

    assert not names_other_project([*ordinary, magic_push_token("gone")])
    assert names_other_project([*ordinary, magic_push_token("otherproject")])
