"""A gateway for tests: one that is started for them, or one that runs already."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from expo_gateway.errors import CannotStart
from expo_gateway.testing.control import Control
from expo_gateway.testing.run import Run

URL_VARIABLE = "EXPO_GATEWAY_URL"
"""The address of a gateway that runs already."""
TOKEN_VARIABLE = "EXPO_GATEWAY_CONTROL__TOKEN"
"""The control token, as the gateway itself has it from its settings."""

# Room for what makes it unique, of the 64 characters of a run's name.
MAX_LABEL = 48


class Gateway(Run):
    """The default run of a gateway, and whatever makes more of them. Closing it leaves the gateway as it is."""

    def run(self, name: str | None = None, *, label: str = "run", seed: Mapping[str, object] | None = None) -> Run:
        """A run of that name, or a new one whose name begins with the label. Its first use makes it.

        `seed`: what it begins with, and again after each reset, as `Run.load` takes it; it must be a new one then.
        """
        name = _unique(label) if name is None else name
        url = f"{self.url}/r/{name}"
        if seed is not None:
            self._control.post("/runs", {"name": name, "seed": seed})
        return Run(url, control=self._control.at(url))

    def close(self) -> None:
        """Nothing: who started it stops it."""


@contextmanager
def gateway(
    *options: str, url: str | None = None, token: str | None = None, shared: str | None = None
) -> Iterator[Gateway]:
    """A gateway that lasts as long as the block.

    With `url`, or EXPO_GATEWAY_URL when there are no options, it is the one that runs there. Else
    `expo-gateway serve --json --port 0` is started with the options; it takes no settings from the environment, so that
    no test sends with the credentials of a developer's shell. `token` is the control token, EXPO_GATEWAY_CONTROL__TOKEN
    where it is left out. Who gives the same `shared` at the same time, in any process of the user, has the same server;
    it ends with the last of them, however they end. Raises CannotStart.
    """
    url = url or ("" if options else os.environ.get(URL_VARIABLE, ""))
    token = token or os.environ.get(TOKEN_VARIABLE)
    if url:
        url = url.rstrip("/")
        yield Gateway(url, control=Control(url, token=token))
        return
    if sys.platform == "win32":
        raise CannotStart(f"on Windows start `expo-gateway serve` yourself, and set {URL_VARIABLE} to its address")
    # Its locks are not on Windows, and who names an address needs none of it.
    from expo_gateway.testing.serving import serving

    with serving(options, shared=shared) as server:
        yield Gateway(server.url, control=Control(server.url, last_words=server.last_words))


def _unique(label: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:MAX_LABEL].strip("-.")
    return f"{plain or 'run'}-{uuid4().hex[:12]}"
