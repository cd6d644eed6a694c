"""Copies of devices are right, few, and forgotten when they may not be right any more."""

from msgspec.structs import replace

from expo_gateway.protocol.device import Device
from expo_gateway.registry.device_cache import DeviceCache
from tests.registry.contract import OTHER_PUSH_TOKEN, PUSH_TOKEN, VIRTUAL

OTHER = replace(VIRTUAL, push_token=OTHER_PUSH_TOKEN)
BOTH = {PUSH_TOKEN: VIRTUAL, OTHER_PUSH_TOKEN: OTHER}


def cache_of(devices: dict[str, Device], *, max_devices: int = 100) -> DeviceCache:
    cache = DeviceCache(max_devices=max_devices)
    cache.keep(devices, read_at=0)
    return cache


def test_what_was_kept_is_known() -> None:
    assert cache_of(BOTH).known([PUSH_TOKEN, "nobody", PUSH_TOKEN]) == {PUSH_TOKEN: VIRTUAL}


def test_a_changed_device_is_forgotten_and_no_other() -> None:
    cache = cache_of(BOTH)

    cache.see([(1, PUSH_TOKEN)])

    assert cache.known([PUSH_TOKEN, OTHER_PUSH_TOKEN]) == {OTHER_PUSH_TOKEN: OTHER}


def test_a_change_that_concerns_all_forgets_all() -> None:
    cache = cache_of(BOTH)

    cache.see([(1, None)])

    assert len(cache) == 0


def test_changes_that_are_not_kept_any_more_forget_all() -> None:
    cache = cache_of(BOTH)

    cache.see([(7, "somebody else")])

    assert (len(cache), cache.seen) == (0, 7)


def test_a_change_that_was_seen_is_not_seen_again() -> None:
    cache = DeviceCache()
    cache.see([(1, PUSH_TOKEN)])
    cache.keep(BOTH, read_at=1)

    cache.see([(1, PUSH_TOKEN)])

    assert cache.known([PUSH_TOKEN]) == {PUSH_TOKEN: VIRTUAL}


def test_a_copy_from_before_a_change_that_was_seen_is_not_kept() -> None:
    cache = DeviceCache()
    cache.see([(1, PUSH_TOKEN)])

    cache.keep(BOTH, read_at=0)

    assert len(cache) == 0


def test_there_are_never_many_more_copies_than_allowed() -> None:
    cache = DeviceCache(max_devices=10)

    for number in range(1000):
        cache.keep({f"{number}": VIRTUAL}, read_at=0)
        assert len(cache) <= 11

    assert len(cache) >= 5


def test_who_is_asked_for_again_and_again_stays() -> None:
    cache = cache_of({PUSH_TOKEN: VIRTUAL}, max_devices=10)

    for number in range(100):
        cache.keep({f"{number}": OTHER}, read_at=0)
        assert cache.known([PUSH_TOKEN]) == {PUSH_TOKEN: VIRTUAL}


def test_a_change_forgets_a_copy_of_either_generation() -> None:
    cache = cache_of({PUSH_TOKEN: VIRTUAL}, max_devices=4)
    cache.keep({"a": OTHER, "b": OTHER}, read_at=0)

    cache.see([(1, PUSH_TOKEN), (2, "a")])

    assert cache.known([PUSH_TOKEN, "a"]) == {}
