"""The sections of the settings: each key with its default, its limits and what it is for."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP server that clients talk to."""

    host: Annotated[str, Meta(min_length=1, description="Address or host name to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8080
    tls: Annotated[bool, Meta(description="Serve TLS with a certificate of the emulators' authority.")] = False
    tls_certificate: Annotated[
        Path | None,
        Meta(
            description="Serve TLS with this certificate instead, followed by its issuers', as PEM. "
            "It is read again when it changes.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        Meta(
            description="The certificate's private key, as PEM without a passphrase.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None
    body_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds a request's body may take to arrive, else it is answered 408.")
    ] = 30.0
    keep_alive_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds a connection may be idle, or take to send a request's headers."),
    ] = 30.0
    write_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds a client may leave an answer unread before it is cut off.")
    ] = 30.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that requests under way get to finish at a stop.")
    ] = 10.0
    http: Annotated[
        Literal["hypercorn", "granian"],
        Meta(
            description="Who speaks HTTP. granian is about three times as fast for single messages, needs the extra "
            "`fast`, and has fewer limits: see below."
        ),
    ] = "hypercorn"
    workers: Annotated[
        int,
        Meta(ge=1, le=64, description="Processes that serve and deliver, on one port and one store. Not on Windows."),
    ] = 1
    metrics: Annotated[bool, Meta(description="Answer GET /metrics with what is counted, for Prometheus.")] = True
    # Off: the Python SDK's check_receipts and several other SDKs never send the token there, and ids can't be guessed.
    receipts_need_token: Annotated[
        bool, Meta(description="Ask for a project's access token for receipts too, which some SDKs never send.")
    ] = False


class Store(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state lives."""

    data: Annotated[
        Path | None, Meta(description="Directory for all state. Without one, state goes when the process ends.")
    ] = None
    durability: Annotated[
        Literal["process", "power"],
        Meta(
            description="What accepted messages survive: the end of the process, or also a loss of power. "
            "Unset: power with a data directory, process without."
        ),
    ] = "process"


class Emulator(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The emulated APNs and FCM, and who is enrolled there."""

    platform: Annotated[
        Literal["mixed", "ios", "android"],
        Meta(description="What virtual devices are; mixed gives each push token one of both, always the same."),
    ] = "mixed"
    strict: Annotated[
        bool | None,
        Meta(
            description="Refuse push tokens that were never registered, instead of enrolling virtual devices. Unset: "
            "only while a project sends to Apple and Google. false enrols them beside such projects too."
        ),
    ] = None
    project: Annotated[
        str,
        Meta(pattern=r"^@[^@/\s]+/[^@/\s]+$", description="Project of the virtual devices, as @owner/slug."),
    ] = "@emulator/app"
    magic_tokens: Annotated[
        bool, Meta(description="Give magic push tokens their fixed outcomes when they are enrolled.")
    ] = True
    seed: Annotated[
        Path | None,
        Meta(
            description="Start with the projects, devices and faults in this JSON or YAML file.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None
    apns_port: Annotated[int, Meta(ge=0, le=65535, description="Port of the APNs emulator; 0 takes any free one.")] = 0
    fcm_port: Annotated[int, Meta(ge=0, le=65535, description="Port of the FCM emulator; 0 takes any free one.")] = 0


class Proxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The forward proxy, for clients with https://exp.host written into them."""

    enabled: Annotated[bool, Meta(description="Serve a forward proxy that leads to the gateway and nowhere else.")] = (
        False
    )
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the forward proxy, if it is enabled; 0 takes any free one.")
    ] = 8081
    providers: Annotated[
        bool, Meta(description="Lead clients of APNs, FCM and Google's OAuth through the proxy to the emulators too.")
    ] = False


class Providers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where real projects send to. For tests: emulators that are addressed as if they were Apple and Google."""

    apns_host: Annotated[
        str | None,
        Meta(
            description="Connect here in place of Apple's hosts; the certificate must still be in Apple's names.",
            extra={"wanted": "a host name or an address"},
        ),
    ] = None
    apns_port: Annotated[int, Meta(ge=1, le=65535, description="Port of APNs; Apple answers on 443 and 2197.")] = 443
    fcm_endpoint: Annotated[
        str, Meta(pattern=r"^https?://[^/]+$", description="Send here in place of Google.", extra={"wanted": "a URL"})
    ] = "https://fcm.googleapis.com"
    ca_file: Annotated[
        Path | None,
        Meta(
            description="Trust the authorities in this PEM file beside the system's.",
            extra={"wanted": "the path of a file"},
        ),
    ] = None


class Dispatcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sending to the providers."""

    # Under the 15 minutes after which Expo tells clients to ask for receipts.
    retry_budget_s: Annotated[
        float, Meta(ge=0, le=900, description="Seconds after acceptance in which a message is tried again.")
    ] = 600.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that deliveries under way get to finish at a stop.")
    ] = 10.0


class Control(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control API for tests, under /_gateway/v1. With several workers there is none, and there are no runs."""

    enabled: Annotated[
        bool | None,
        Meta(description="Serve it, and runs. Unset: on a loopback address while no project is real, or with a token."),
    ] = None
    token: Annotated[
        str | None,
        Meta(
            description="Who shows it as a bearer token may use the control API where not everybody may: on other "
            "addresses, and beside real projects.",
            extra={"wanted": "some text"},
        ),
    ] = None

    def __repr__(self) -> str:
        return f"Control(enabled={self.enabled})"  # the token is a secret


class Runs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Worlds of their own under /r/<name>, for tests that run side by side."""

    max_runs: Annotated[
        int, Meta(ge=1, le=100_000, description="So many at most; one more takes the place of the longest idle.")
    ] = 2000
    max_idle_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Seconds after its last request in which a run is kept.")
    ] = 3600.0
    max_deliveries: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Deliveries that a run remembers; when there are more the oldest go."),
    ] = 10_000


class HomeAssistant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Home Assistant's push relay, local push, and notify services."""

    enabled: Annotated[bool, Meta(description="Serve them.")] = True
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^(/[^/\s?#]+)*$",
            description="What the relay's paths begin with, like /relay: then it is /relay/api/sendPushNotification.",
            extra={"wanted": "a path that begins with a slash, and does not end in one"},
        ),
    ] = ""
    exact: Annotated[
        bool, Meta(description="Behave as Home Assistant and its official relay do, mistakes included.")
    ] = False
    max_per_day: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Notifications that the relay sends to one push token on a UTC day.")
    ] = 500
    project: Annotated[
        str | None,
        Meta(
            description="The project whose FCM the relay reaches raw FCM tokens through, as @owner/slug. Unset: "
            "`emulator.project`, while no project is real.",
            extra={"wanted": "@owner/slug"},
        ),
    ] = None
    ha_version: Annotated[
        str,
        Meta(
            pattern=r"^20\d\d\.\d{1,2}\.\d{1,2}$",
            description="The version of Home Assistant that clients are told, which some go by.",
            extra={"wanted": "a version like 2026.11.0"},
        ),
    ] = "2026.11.0"
    # Home Assistant's own: PUSH_CONFIRM_TIMEOUT.
    confirm_s: Annotated[
        float, Meta(gt=0, le=60, description="Seconds a phone has to confirm a local push before it goes to the cloud.")
    ] = 10.0
    push_url_allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Where a registration's push_url may lead beside public addresses: host names, hosts with a "
            "port, or networks like 10.0.0.0/8. In an emulator on the loopback, where it may lead at all.",
            extra={"wanted": "a list of hosts and networks, in the environment with commas between them"},
        ),
    ] = ()
    tokens: Annotated[
        tuple[str, ...],
        Meta(
            description="Long-lived access tokens beside those that `expo-gateway home-assistant token` makes.",
            extra={"wanted": "a list of tokens, in the environment with commas between them"},
        ),
    ] = ()

    def __repr__(self) -> str:
        return f"HomeAssistant(enabled={self.enabled}, prefix={self.prefix!r}, exact={self.exact})"  # tokens are secret


class Logs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, to stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe lines that are logged.")
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"], Meta(description="auto is console on a terminal and json elsewhere.")
    ] = "auto"
    access: Annotated[bool, Meta(description="Log a line for every request.")] = False
