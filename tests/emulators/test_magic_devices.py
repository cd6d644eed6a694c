"""Device tokens that the emulators always refuse."""

import pytest

from expo_gateway.emulators.apns_answers import ApnsReason, Refusal
from expo_gateway.emulators.magic_devices import APNS, FCM, apns_refusal, fcm_refusal
from expo_gateway.protocol.device import Platform, Project
from expo_gateway.protocol.magic import REFUSED_BY_PROVIDER, MagicKind, magic_device, magic_of, words
from tests.magic_push_tokens import magic_push_token

PROJECT = Project(project_id="0", full_name="@acme/shop")
OTHERS = [word.replace("<n>", "30") for word in words() if word not in REFUSED_BY_PROVIDER]


def device_token(word: str, platform: Platform) -> str:
    token = magic_push_token(word)
    magic = magic_of(token)
    assert magic is not None
    return magic_device(token, magic, project=PROJECT, platform=platform, now=0.0).device_token


def test_both_providers_refuse_every_kind_that_is_a_providers() -> None:
    assert set(FCM) == REFUSED_BY_PROVIDER
    assert set(APNS) == REFUSED_BY_PROVIDER - {MagicKind.MISMATCH}


@pytest.mark.parametrize(("kind", "reason"), APNS.items())
def test_apns_refuses_with_the_reason_of_the_kind(kind: str, reason: ApnsReason) -> None:
    refusal = apns_refusal(device_token(kind, Platform.IOS), now=12.5)

    assert refusal == Refusal(reason=reason, timestamp_ms=12500 if reason.status == 410 else None)


@pytest.mark.parametrize("kind", FCM)
def test_fcm_refuses_with_the_answer_of_the_kind(kind: str) -> None:
    assert fcm_refusal(device_token(kind, Platform.ANDROID)) == FCM[kind]()


@pytest.mark.parametrize("word", OTHERS)
def test_the_other_kinds_get_their_pushes(word: str) -> None:
    assert apns_refusal(device_token(word, Platform.IOS), now=0.0) is None
    assert fcm_refusal(device_token(word, Platform.ANDROID)) is None


@pytest.mark.parametrize("token", ["", "a1" * 32, "6d616769632d", "6d616769632dzz", "magic-", "magic-gnoe-1", "magic"])
def test_others_are_ordinary(token: str) -> None:
    assert apns_refusal(token, now=0.0) is None
    assert fcm_refusal(token) is None
