import io
import json
import logging
from collections.abc import Iterator

import pytest

from expo_gateway.logs import set_up_logs
from expo_gateway.settings import Logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_away_from_a_terminal_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    logging.getLogger("expo_gateway.x").warning("%d batches", 3, extra={"project": "@a/b"})

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "3 batches", "level": "warning", "logger": "expo_gateway.x", "project": "@a/b"}


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(), stream=stream)

    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("expo_gateway.x").exception("it failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no\nway" in json.loads(line)["exception"]


def test_for_people_it_is_plain_text() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(format="console"), stream=stream)

    logging.getLogger("expo_gateway.x").info("hello")

    assert "[info     ] hello" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_libraries_are_heard_from_warnings_up_and_once() -> None:
    stream = io.StringIO()
    set_up_logs(Logs(level="debug"), stream=stream)

    for name in ("aioapns", "hypercorn.error", "h2", "asyncio"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")

    assert stream.getvalue().count("trouble") == 4
    assert "chatter" not in stream.getvalue()


@pytest.mark.parametrize(("access", "lines"), [(True, 1), (False, 0)])
def test_requests_are_logged_when_asked_for(access: bool, lines: int) -> None:
    stream = io.StringIO()
    set_up_logs(Logs(access=access), stream=stream)

    logging.getLogger("expo_gateway.access").info("GET /")

    assert stream.getvalue().count("\n") == lines
