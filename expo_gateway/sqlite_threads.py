"""Threads that do what the event loop hands them, and hand back what came of it.

As `loop.run_in_executor`, for half of its price, which is a tenth of what a small commit costs. Measure it with
`make bench BENCH_ARGS="singles"`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class _Call(Generic[T]):
    """Something to be done, and who waits for it."""

    __slots__ = ("_call", "_error", "_loop", "_value", "waiter")

    def __init__(self, call: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self._value: T | None = None
        self._error: BaseException | None = None
        self.waiter: asyncio.Future[T] = loop.create_future()

    def run(self) -> None:
        """In the thread."""
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """On the loop. Who waited may have gone."""
        if self.waiter.done():
            return
        if self._error is not None:
            self.waiter.set_exception(self._error)
        else:
            self.waiter.set_result(cast(T, self._value))


class Threads:
    """So many of them, first come first served. Who makes them closes them."""

    def __init__(self, count: int, *, name: str) -> None:
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def run(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Have it done. Cancelled, nobody waits for it any more, and it is done all the same."""
        one = _Call(call, asyncio.get_running_loop())
        self._calls.put(cast("_Call[object]", one))
        return one.waiter

    def close(self) -> None:
        """Wait for what was handed over."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
