from collections.abc import Callable
from pathlib import Path

import pytest

from expo_gateway.errors import SettingsError
from expo_gateway.settings import Settings, describe_settings, load_settings

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(toml: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(toml)
        return path

    return written


@pytest.mark.parametrize(
    "name",
    [
        "EXPO_GATEWAY_SERVICE_HOST",
        "EXPO_GATEWAY_SERVICE_PORT_HTTP",
        "EXPO_GATEWAY_PORT",
        "EXPO_GATEWAY_PORT_8080_TCP_ADDR",
    ],
)
def test_what_kubernetes_injects_for_a_service_of_our_name_is_no_setting(name: str) -> None:
    assert load_settings(environ={name: "tcp://10.0.0.1:8080"}, overrides={}) == Settings()


def test_with_nothing_given_the_defaults_are_those_of_a_safe_emulator() -> None:
    settings = load_settings(environ={"PATH": "/bin"}, overrides={})

    assert settings == Settings()
    assert (settings.server.host, settings.server.port, settings.emulator.strict) == ("127.0.0.1", 8080, None)


@pytest.mark.parametrize(("given", "strict"), [("true", True), ("false", False), ("", None)])
def test_strict_is_yes_no_or_not_said(given: str, strict: bool | None) -> None:
    settings = load_settings(environ={"EXPO_GATEWAY_EMULATOR__STRICT": given}, overrides={})

    assert settings.emulator.strict is strict


def test_options_win_over_the_environment_over_the_file_over_defaults(write: Write) -> None:
    settings = load_settings(
        config=write("[server]\nhost = 'file'\nport = 1\ntls = true\n"),
        environ={"EXPO_GATEWAY_SERVER__HOST": "env", "EXPO_GATEWAY_SERVER__PORT": "2"},
        overrides={"server": {"host": "option"}},
    )

    assert (settings.server.host, settings.server.port, settings.server.tls) == ("option", 2, True)
    assert settings.server.drain_s == 10.0


def test_state_that_is_kept_survives_a_loss_of_power_unless_told_otherwise() -> None:
    kept = load_settings(environ={}, overrides={"store": {"data": "/x"}})
    faster = load_settings(environ={"EXPO_GATEWAY_STORE__DURABILITY": "process"}, overrides={"store": {"data": "/x"}})

    assert (Settings().store.durability, kept.store.durability, faster.store.durability) == (
        "process",
        "power",
        "process",
    )


def test_a_home_directory_is_found() -> None:
    settings = load_settings(environ={"EXPO_GATEWAY_STORE__DATA": "~/state"}, overrides={})

    assert settings.store.data == Path.home() / "state"


def test_an_empty_variable_is_none() -> None:
    assert load_settings(environ={"EXPO_GATEWAY_SERVER__PORT": ""}, overrides={}) == Settings()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("EXPO_GATEWAY_SERVER__POTR", "EXPO_GATEWAY_SERVER__PORT"),
        ("EXPO_GATEWAY_SERVR__PORT", "EXPO_GATEWAY_SERVER__PORT"),
        ("EXPO_GATEWAY_SERVER_PORT", "EXPO_GATEWAY_SERVER__PORT"),
    ],
)
def test_a_misspelt_variable_is_an_error_that_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} in the environment: .* did you mean {nearest}") as refused:
        load_settings(environ={name: "a-secret"}, overrides={})

    assert "a-secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[server]\npotr = 1", r"server\.potr in .*gateway\.toml: .* did you mean server\.port"),
        ("[servr]\nport = 1", r"servr\.port .* did you mean server\.port"),
        ("[servr]", r"servr .* there is no such setting"),
        ("port = 1", r"port .* there is no such setting"),
        ("[server.port]\nx = 1", r"server\.port: got \{'x': 1\} .* a whole number"),
    ],
)
def test_a_misspelt_key_of_the_file_is_an_error_that_names_it(write: Write, toml: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings(config=write(toml), environ={}, overrides={})


@pytest.mark.parametrize(
    ("setting", "got", "wanted"),
    [
        ("server.port", "70000", "a whole number from 0 to 65535"),
        ("server.port", "http", "a whole number from 0 to 65535"),
        ("server.tls", "perhaps", "true or false"),
        ("emulator.strict", "perhaps", "true or false"),
        ("server.keep_alive_s", "0", "a number above 0, up to 3600"),
        ("server.keep_alive_s", "nan", "a number above 0, up to 3600"),
        ("emulator.platform", "symbian", "one of mixed, ios, android"),
        ("emulator.project", "app", "@owner/slug"),
        ("dispatcher.retry_budget_s", "-1", "a number from 0 to 900"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_was_got_and_wanted(setting: str, got: str, wanted: str) -> None:
    env = "EXPO_GATEWAY_" + setting.upper().replace(".", "__")

    with pytest.raises(SettingsError) as refused:
        load_settings(environ={env: got}, overrides={})

    assert str(refused.value) == f"{setting}: got {got!r} from the environment; wanted {wanted}"


def test_a_wrong_type_in_the_file_names_the_file(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"server\.tls: got \[\] from .*gateway\.toml; wanted true or false"):
        load_settings(config=write("[server]\ntls = []"), environ={}, overrides={})


@pytest.mark.parametrize("toml", ["[server", "a = \udce9"])
def test_a_file_that_is_not_toml_is_a_settings_error(tmp_path: Path, toml: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(toml.encode(errors="surrogateescape"))

    with pytest.raises(SettingsError, match="which is not TOML"):
        load_settings(config=path, environ={}, overrides={})


def test_a_file_that_can_not_be_read_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(config=tmp_path / "none.toml", environ={}, overrides={})


def test_every_setting_says_what_it_is() -> None:
    settings = list(describe_settings())

    assert len(settings) > 10
    assert all(setting.description.endswith(".") and setting.wanted for setting in settings)
