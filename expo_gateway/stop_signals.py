"""SIGTERM and SIGINT, for those who end in order: the server, and a `send` that is under way."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPT = int(signal.SIGINT)
"""Ctrl-C, where it comes as a KeyboardInterrupt."""


@contextmanager
def stop_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Inside, both call `on_signal` with their number, in the running loop, each time that they come."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, int(number))
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def exit_code_of(number: int) -> int:
    """Of a process that a signal ended, as shells have it: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number


def name_of(number: int) -> str:
    return signal.Signals(number).name
