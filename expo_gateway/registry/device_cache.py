"""Copies of devices in memory, kept right by the numbered changes that the store writes down. Pure: no store, no clock.

Number n of the changes says whose copy is not right any more. A copy that was read after n took place is right up to n
at least; so a copy may be kept as long as the cache has not seen more changes than the one who read it.
"""

from collections.abc import Iterable, Mapping, Sequence

from expo_gateway.protocol.device import Device

# Our choice: some 30 MB. A campaign to more devices than this reads each of them once, as it would without a cache.
MAX_DEVICES = 50_000

Change = tuple[int, str | None]
"""Its number, and the push token of the device; None: all of them."""


class DeviceCache:
    """The devices that were asked for last, between MAX_DEVICES / 2 and MAX_DEVICES of them.

    Two generations: when the young one is full it becomes the old one, and who is still in that is forgotten. What is
    used moves to the young one.
    """

    def __init__(self, *, max_devices: int = MAX_DEVICES) -> None:
        self._max_young = max_devices // 2
        self._young: dict[str, Device] = {}
        self._old: dict[str, Device] = {}
        self.seen = 0
        """Number of the last change that the copies reflect."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def known(self, push_tokens: Sequence[str]) -> dict[str, Device]:
        """Those of which there is a copy."""
        young = self._young
        found = {token: young[token] for token in push_tokens if token in young}
        if self._old and len(found) < len(push_tokens):
            kept = {token: self._old.pop(token) for token in dict.fromkeys(push_tokens) if token in self._old}
            self._add(kept)
            found.update(kept)
        return found

    def keep(self, devices: Mapping[str, Device], *, read_at: int) -> None:
        """Take copies that were read when `read_at` was the last change, unless that is behind what was seen."""
        if read_at >= self.seen:
            self._add(devices)

    def see(self, changes: Iterable[Change]) -> None:
        """Changes in their order, from the first one after `seen` on. Some may have been seen already."""
        for number, push_token in changes:
            if number <= self.seen:
                continue
            if push_token is None or number > self.seen + 1:
                # In between are changes that the store keeps no more.
                self._young, self._old = {}, {}
            else:
                self._young.pop(push_token, None)
                self._old.pop(push_token, None)
            self.seen = number

    def _add(self, devices: Mapping[str, Device]) -> None:
        self._young.update(devices)
        if len(self._young) > self._max_young:
            self._young, self._old = {}, self._young
