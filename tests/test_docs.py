"""What the documents say is true of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
import typer.main

from expo_gateway import __version__
from expo_gateway.app import open_app
from expo_gateway.command_line import command_line
from expo_gateway.emulators.apns_answers import ApnsReason
from expo_gateway.protocol.receipt import ReceiptError
from expo_gateway.providers import apns_reasons, fcm_answers
from expo_gateway.providers.base import Accepted
from expo_gateway.settings import Settings, describe_settings
from tests.contract import Contract
from tests.running import clean_environment

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ERRORS = ROOT / "docs" / "errors.md"
# A pattern, not a name.
PATTERNS = {"EXPO_GATEWAY_SECTION__KEY"}
# For tests that use a gateway, not for the gateway.
OF_TESTS = {"EXPO_GATEWAY_URL"}


def words(pattern: str) -> list[tuple[str, str]]:
    """(page, what the pattern's group found) over all pages. A line that ends in a backslash goes on."""
    pages = [(page.name, page.read_text().replace("\\\n", " ")) for page in PAGES]
    return [(name, found) for name, text in pages for found in re.findall(pattern, text, re.MULTILINE)]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of errors.md, without backticks and header."""
    section = ERRORS.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    used = words(r"(?:`|^)make ([a-z-]+)")

    assert used
    assert [(page, target) for page, target in used if target not in targets] == []


def test_commands_and_their_options_exist() -> None:
    # Alone on a line, in backticks, or after sudo, docker exec or the like.
    names = "|".join(getattr(typer.main.get_command(command_line()), "commands", {}))
    used = words(rf"(?:`|^ *|[ /])expo-gateway ((?:{names})\b[^`\n|]*)") + words(r"`expo-gateway ([a-z][^`\n|]*)")

    assert used
    for page, line in used:
        command: Any = typer.main.get_command(command_line())
        arguments = line.split()
        while arguments and arguments[0] in getattr(command, "commands", {}):
            command = command.commands[arguments.pop(0)]
        assert not hasattr(command, "commands") or not arguments, (page, line)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {argument for argument in arguments if argument.startswith("--")} <= known, (page, line)


def test_settings_in_the_environment_exist() -> None:
    known = {setting.env for setting in describe_settings()} | PATTERNS | OF_TESTS

    used = words(r"(EXPO_GATEWAY_\w+)")

    assert used
    assert [(page, name) for page, name in used if name not in known] == []


async def test_metrics_exist(tmp_path: Path) -> None:
    async with (
        open_app(Settings(), tmp_path) as running,
        httpx.AsyncClient(transport=httpx.ASGITransport(running.asgi), base_url="http://gateway") as client,
    ):
        served = (await client.get("/metrics")).text

    used = words(r"`(expo_gateway_\w+)`")

    assert used
    assert [(page, name) for page, name in used if f"# TYPE {name} " not in served] == []


def test_the_lists_of_settings_and_options_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "reference.py", "--check"], check=False)

    assert done.returncode == 0, "run scripts/reference.py"


def test_every_setting_is_listed() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()

    assert [setting.name for setting in describe_settings() if f"| `{setting.name}` |" not in page] == []


def test_the_readme_shows_the_first_screen() -> None:
    shown = re.search(r"<!-- begin screen -->\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None

    assert same_everywhere(shown[1]) == same_everywhere(first_screen())


def first_screen() -> str:
    command = [sys.executable, "-m", "expo_gateway", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean_environment()
    ) as process:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if '"title":"Hello"' in line:
                break
        process.terminate()
    return "\n".join(lines)


def same_everywhere(screen: str) -> str:
    """Without what differs from start to start."""
    screen = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", screen)
    return re.sub(r"\S+/ca\.pem", "CA", screen).strip()


def test_every_receipt_error_is_explained() -> None:
    assert {row[0] for row in rows("Receipts")} == {error.value for error in ReceiptError}


def test_every_request_error_is_explained() -> None:
    sources = [path.read_text() for path in (ROOT / "expo_gateway").rglob("*.py")]
    raised = {code for text in sources for code in re.findall(r'RequestRefused\(\s*"([A-Z_]+)"', text)}

    assert {row[0] for row in rows("The whole request")} == raised | {"INTERNAL_SERVER_ERROR"}


def test_every_control_error_is_explained() -> None:
    assert [row[0] for row in rows("The control API")] == Contract().schema("ErrorDetail")["properties"]["code"]["enum"]


@pytest.mark.parametrize("reason", list(ApnsReason), ids=lambda reason: reason.wire)
def test_what_apns_says_becomes_the_receipt_that_the_page_names(reason: ApnsReason) -> None:
    outcome = apns_reasons.outcome_of(apns_reasons.ApnsAnswer(status=reason.status, reason=reason.wire))
    assert not isinstance(outcome, Accepted)

    [row] = [row for row in rows("What APNs says") if row[0] == reason.wire]
    assert row[1:4] == [str(reason.status), outcome.receipt.error.value, "yes" if outcome.backoff else "no"]


@pytest.mark.parametrize(
    "error", json.loads((ROOT / "fixtures/fcm/errors.json").read_text())["errors"], ids=lambda error: str(error["name"])
)
def test_what_fcm_says_becomes_the_receipt_that_the_page_names(error: dict[str, object]) -> None:
    status = cast(int, error["status"])
    answer = fcm_answers.read_answer(status=status, headers={}, body=orjson.dumps(error["body"]))
    outcome = fcm_answers.outcome_of(answer, now=0.0)
    assert not isinstance(outcome, Accepted)

    [row] = [row for row in rows("What FCM says") if row[0] == error["name"]]
    again = "yes" if outcome.backoff else "no"
    assert row[1:5] == [str(status), answer.reason, outcome.receipt.error.value, again]


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_every_page_is_in_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text()

    assert [page.name for page in (ROOT / "docs").glob("*.md") if f": {page.name}" not in site] == []


def test_the_version_is_the_same_everywhere() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
