"""What a seed file may say, and where its mistakes are said to be."""

import builtins
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from expo_gateway.errors import SettingsError
from expo_gateway.protocol.device import Platform
from expo_gateway.seed import Seed, read_seed
from expo_gateway.settings import load_settings

SEEDS = sorted((Path(__file__).parent.parent / "fixtures" / "seeds").iterdir())
TOKEN = "ExponentPushToken[anna-0000000000000000_]"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "seed.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def said(path: Path) -> str:
    """Of the mistake in the file, without the directory."""
    with pytest.raises(SettingsError) as refused:
        read_seed(path)
    return str(refused.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_the_shipped_seeds_are_in_order(path: Path) -> None:
    assert read_seed(path) != Seed()


def test_an_empty_file_is_an_empty_seed(write: Write) -> None:
    assert read_seed(write("# nothing yet\n")) == Seed()


def test_the_same_in_json_and_yaml(write: Write) -> None:
    value = {"devices": [{"push_token": TOKEN, "platform": "ios", "unregistered_at": "2026-01-06T00:00:00Z"}]}
    text = f"devices:\n- {{push_token: '{TOKEN}', platform: ios, unregistered_at: 2026-01-06T00:00:00Z}}\n"

    seed = read_seed(write(json.dumps(value), "seed.json"))

    assert seed == read_seed(write(text))
    assert seed.devices[0].platform is Platform.IOS


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("devices:\n- push_token: x\n", "seed.yaml:2: devices[0].push_token: no SDK lets it pass; wanted Exponent"),
        ("\n\ndevcies: []\n", "seed.yaml:3: devcies: there is no such key; did you mean devices?"),
        (
            f"devices:\n- push_token: {TOKEN}\n  platfrom: ios\n",
            "seed.yaml:3: devices[0].platfrom: there is no such key; did you mean platform?",
        ),
        (
            f"devices:\n- push_token: {TOKEN}\n  platform: symbian\n",
            "seed.yaml:3: devices[0].platform: invalid enum value 'symbian'",
        ),
        ("devices:\n- platform: ios\n", "seed.yaml:2: devices[0]: object missing required field `push_token`"),
        (
            f"devices:\n- push_token: {TOKEN}\n- push_token: {TOKEN}\n",
            "seed.yaml:3: devices[1].push_token: another device has it",
        ),
        (
            "devices:\n- push_token: ExponentPushToken[magic-toobig-000000001]\n",
            "seed.yaml:2: devices[0].push_token: magic push tokens have their outcomes without a seed",
        ),
        (
            f"projects:\n- full_name: '@acme/shop'\ndevices:\n- push_token: {TOKEN}\n  project: '@acme/shpo'\n",
            "seed.yaml:5: devices[0].project: the seed has no project @acme/shpo; did you mean @acme/shop?",
        ),
        (
            f"devices:\n- push_token: {TOKEN}\n  device_token: abc\n",
            "seed.yaml:2: devices[0].platform: it is missing beside device_token; wanted ios or android",
        ),
        (
            f"devices:\n- push_token: {TOKEN}\n  platform: ios\n  device_token: abc\n",
            "seed.yaml:4: devices[0].device_token: it is none of ios; wanted 64 to 200 hex digits",
        ),
        (
            f"devices:\n- push_token: {TOKEN}\n  unregistered_at: 2026-01-06\n",
            "seed.yaml:3: devices[0].unregistered_at: wanted Unix seconds, or RFC 3339 text",
        ),
        ("projects:\n- full_name: shop\n", "seed.yaml:2: projects[0].full_name: expected `str` matching regex"),
        (
            "projects:\n- full_name: '@acme/shop'\n- full_name: '@acme/shop'\n",
            "seed.yaml:3: projects[1].full_name: @acme/shop is given more than once",
        ),
        (
            "faults:\n- act: {type: apns_reason, reason: Unregistred}\n",
            "seed.yaml:2: faults[0].act.reason: 'Unregistred' is no reason of APNs",
        ),
        (
            "faults:\n- act: {type: hang}\n  id: a\n- act: {type: hang}\n  id: a\n",
            "seed.yaml:5: faults[1].id: another fault is called a",
        ),
        ("clock: {at: yesterday}\n", "seed.yaml:1: clock.at: wanted Unix seconds"),
        ("limits: {receipt_delay_s: -1}\n", "seed.yaml:1: limits.receipt_delay_s: expected `float` >= 0"),
        ("limits: {receipt_delay: 1}\n", "limits.receipt_delay: there is no such key; did you mean receipt_delay_s?"),
        ("magic_tokens: yes\n", "seed.yaml:1: magic_tokens: expected `bool"),
        ("version: 2\n", "seed.yaml:1: version: invalid enum value 2"),
        ("captures: [{}]\n", "seed.yaml:1: captures: a seed has no history"),
        ("forward: {allow: ['ExponentPushToken[magic-toobig-000000001]']}\n", "seed.yaml:1: forward.allow: got Exp"),
        ("- 1\n", "seed.yaml:1: expected `object`, got `array`"),
        ("limits: {}\nclock: {}\nlimits: {}\n", "seed.yaml:3: the key limits is given more than once in one mapping"),
        ("limits: [\n", "seed.yaml:2: this is not YAML"),
        ("devices: !!python/object:os.system {}\n", "seed.yaml:1: this is not YAML: could not determine a constructor"),
        ("faults:\n- &a {act: *a}\n", "seed.yaml"),
    ],
)
def test_a_mistake_is_said_with_its_line_and_key(write: Write, yaml: str, message: str) -> None:
    assert message in said(write(yaml))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"limits": {},\n}', "seed.json:3: this is not JSON"),
        ('{"limits": {}, "limits": {}}', "seed.json: the key limits is given more than once in one object"),
        ('{"devices": [{"push_token": 1}]}', "seed.json: devices[0].push_token: expected `str`, got `int`"),
    ],
)
def test_a_mistake_in_json_is_said_with_its_key(write: Write, text: str, message: str) -> None:
    assert message in said(write(text, "seed.json"))


def test_no_token_is_repeated_in_a_message(write: Write) -> None:
    path = write(f"devices:\n- push_token: {TOKEN}\n  platform: ios\n  device_token: {'ab' * 31}\n")

    assert TOKEN not in said(path)
    assert "abab" not in said(path)
    assert TOKEN not in repr(read_seed(write(f"devices:\n- push_token: {TOKEN}\n")))


def test_a_file_that_is_not_there_is_a_settings_error(tmp_path: Path) -> None:
    assert "can't be read" in said(tmp_path / "seed.yaml")


def test_without_pyyaml_json_is_asked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert 'wanted JSON (.json), or: pip install "expo-gateway[seed]"' in said(write("version: 1\n"))
    assert read_seed(write('{"version": 1}', "seed.json")) == Seed()


def test_json_needs_no_pyyaml(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def recorded(name: str, *rest: object) -> object:
        assert name != "yaml"
        return real_import(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", recorded)

    assert read_seed(write("{}", "seed.json")) == Seed()


def test_what_a_seed_says_of_settings_is_laid_under_what_is_given(write: Write) -> None:
    path = write(f"magic_tokens: false\nforward: {{allow: ['{TOKEN}']}}\n")
    environ = {"EXPO_GATEWAY_EMULATOR__SEED": str(path)}

    plain = load_settings(environ=environ, overrides={})
    told = load_settings(environ={**environ, "EXPO_GATEWAY_EMULATOR__MAGIC_TOKENS": "true"}, overrides={})

    assert (plain.emulator.magic_tokens, plain.forward.allowed) == (False, frozenset({TOKEN}))
    assert told.emulator.magic_tokens is True
    assert plain.seed is not None
