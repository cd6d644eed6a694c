"""Every exception of the package.

    ExpoGatewayError
    ├── RequestRefused     the caller's fault: the whole request is answered with `errors`
    │   └── BearerRefused  its access token is unknown: answered in OAuth's shape
    ├── TooManyRuns        the tests': no further run can be made now; nothing was accepted
    ├── StoreUnavailable   ours: the store can't read or write now; nothing was accepted, try again
    ├── SettingsError      the operator's: a setting is wrong; its message names it
    └── CannotStart        the machine's state is in the way: a taken port, a data directory in use

A bad message, a dead device or a provider's refusal is no exception: it is a ticket, a receipt or an outcome.
"""

from collections.abc import Mapping


class ExpoGatewayError(Exception):
    """Anything that this package raises on purpose."""


class RequestRefused(ExpoGatewayError):
    """The whole request is refused; nothing of it was accepted.

    `code`, `message` and `details` are Expo's words for it, `status` the HTTP status of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        details: Mapping[str, object] | None = None,
        is_transient: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = details
        self.is_transient = is_transient
        self.retry_after_s = retry_after_s


class BearerRefused(RequestRefused):
    """The bearer token is none, or was revoked. Its answer has OAuth's shape and not Expo's: `code` and `message` are
    its `error` and `error_description`."""

    def __init__(self) -> None:
        super().__init__("invalid_token", "The bearer token is invalid", status=401)


class StoreUnavailable(ExpoGatewayError):
    """The store can't be read or written now: full disk, lock, corrupt file. Nothing unacknowledged was stored."""


class TooManyRuns(ExpoGatewayError):
    """There are as many runs as there may be, and none is idle. The message says what may be set."""


class SettingsError(ExpoGatewayError):
    """A setting is missing or wrong. The message names the setting, what was got and what was wanted."""


class CannotStart(ExpoGatewayError):
    """The settings are fine, but the machine is not ready for them. The message says what to do."""
