"""Logs: stdlib logging everywhere, rendered by structlog, to stderr and nowhere else.

structlog is imported by the first line that is rendered: with Rich, which it takes along, it costs 0.13 s, and a start
that goes well has nothing to say. `warm_up` does it in a thread once the server serves.
"""

import logging
import sys
from typing import TYPE_CHECKING, TextIO

from expo_gateway.log_context import bound
from expo_gateway.settings import Logs

if TYPE_CHECKING:
    from structlog.stdlib import ProcessorFormatter
    from structlog.typing import EventDict, Processor

# They tell of every connection or retry; what matters of it our own lines say.
_QUIET = ("aioapns", "asyncio", "h2", "hpack", "httpx", "hypercorn", "pyfcm", "urllib3", "google", "concurrent")

ACCESS = "expo_gateway.access"


class Formatter(logging.Formatter):
    """Renders a record with structlog, for people or as one JSON object a line."""

    def __init__(self, *, console: bool, colors: bool) -> None:
        super().__init__()
        self._console = console
        self._colors = colors
        self._rendering: ProcessorFormatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._rendering is None:
            self._rendering = _rendering(console=self._console, colors=self._colors)
        return self._rendering.format(record)


def set_up_logs(settings: Logs, *, stream: TextIO | None = None) -> None:
    """Point the root logger at `stream` (None: stderr), in place of whatever it had."""
    stream = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(stream)
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    handler.setFormatter(Formatter(console=console, colors=console and stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger(ACCESS).setLevel(logging.INFO if settings.access else logging.CRITICAL)
    logging.captureWarnings(True)


def warm_up() -> None:
    """Import what the first line needs; takes a tenth of a second, so not on the event loop."""
    import structlog.stdlib  # noqa: F401


def _rendering(*, console: bool, colors: bool) -> "ProcessorFormatter":
    import structlog

    renderer: Processor
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _add_context,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
        ],
    )


def _add_context(_logger: object, _method: str, line: "EventDict") -> "EventDict":
    """Request, batch or delivery that the line is about. Lines are rendered in the task that wrote them."""
    return {**line, **bound()}
