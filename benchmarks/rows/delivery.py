"""The whole way: from the outbox, or from the client, to Apple and to the receipts."""

import asyncio
import gzip
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import aiohttp
import orjson

from benchmarks.bench import Bench, Found, wait_until
from benchmarks.figures import Bar, Sample, Skipped, compared
from benchmarks.gateway import Served, can_granian, gateway, write_config
from benchmarks.load import IN_FLIGHT, RECEIPTS, SEND, BadAnswers
from benchmarks.mock import Mock, is_there, provider_mock
from benchmarks.rows.dispatch import IN_FLIGHT as PUSHES_IN_FLIGHT
from benchmarks.rows.dispatch import stock_aioapns, task_for
from benchmarks.seeds import add_backlog, add_devices
from benchmarks.traffic import BATCH, bodies
from expo_gateway.protocol.ticket import ticket_id

DEVICES = 10_000
IDS = 1_000
PATIENCE_S = 300.0
RECEIPT_OK = {"status": "ok"}


def dispatch(bench: Bench) -> Found:
    """The dispatcher in its process: a backlog that is there at the start, until every receipt is."""
    if not is_there():
        yield Skipped(path="dispatch", why="nginx is not installed")
        return
    messages = bench.smaller(30_000, 5_000)
    with provider_mock(bench.path("mock")) as mock:
        data, ids = backlog(bench, messages)
        ours, stock = [], []
        for _ in range(bench.rounds):
            ours.append(_drained(bench, mock, bench.copied(data), ids))
            stock.append(stock_aioapns(task_for(mock, pushes=messages // 10, in_flight=PUSHES_IN_FLIGHT)))
        yield compared("dispatch, outbox to receipts", "aioapns alone", ours, stock, note="all receipts ok")


def end_to_end(bench: Bench) -> Found:
    """100 messages a request, six requests at a time, until Apple has them all; then every receipt is asked for."""
    if not is_there():
        yield Skipped(path="end to end", why="nginx is not installed")
        return
    messages = bench.smaller(100_000, 5_000)
    with provider_mock(bench.path("mock")) as mock:
        data = bench.path("data")
        add_devices(data, DEVICES)
        texts = [gzip.compress(one, 6) for one in bodies(count=messages // BATCH, batch=BATCH, devices=DEVICES)]
        ours, stock = [], []
        for _ in range(min(3, bench.rounds)):
            ours.append(_sent_and_delivered(bench, mock, bench.copied(data), texts))
            stock.append(stock_aioapns(task_for(mock, pushes=bench.smaller(10_000, 1_000), in_flight=PUSHES_IN_FLIGHT)))
        path, note = f"accepted to delivered, {messages:,} messages", "nothing lost: all receipts ok"
        yield compared(path, "aioapns alone", ours, stock, bar=Bar(limit=3.0), note=note)


def backlog(bench: Bench, messages: int) -> tuple[Path, list[bytes]]:
    """A data directory with devices and so many messages to be delivered; the ids of their batches."""
    data = bench.path("data")
    add_devices(data, DEVICES)
    return data, add_backlog(data, messages, devices=DEVICES)


@dataclass(slots=True)
class Pushes:
    """How many the mock got since this was made. Its questions count as requests and are taken off again."""

    mock: Mock
    before: int
    asked: Iterator[int]

    def count(self) -> int:
        return self.mock.requests() - self.before - next(self.asked)


def pushes_from_now(mock: Mock) -> Pushes:
    return Pushes(mock=mock, before=mock.requests(), asked=count(1))


@contextmanager
def fast_gateway(bench: Bench, mock: Mock, data: Path, *, workers: int = 1, server: str = "") -> Iterator[Served]:
    config = write_config(bench.path("config"), mock, slow=False)
    best = server or ("granian" if can_granian() else "hypercorn")
    with gateway(data, config=config, server=best, workers=workers) as served:
        yield served


def _drained(bench: Bench, mock: Mock, data: Path, ids: Sequence[bytes]) -> Sample:
    pushes = pushes_from_now(mock)  # the first ones go before anybody is served
    with fast_gateway(bench, mock, data) as served:
        sample = delivering(bench, served, pushes, messages=len(ids) * BATCH)
        _check_receipts(served, [ticket_id(one, place) for one in ids for place in range(BATCH)])
    return sample


def delivering(bench: Bench, served: Served, pushes: Pushes, *, messages: int, seconds: float = PATIENCE_S) -> Sample:
    """From the first tenth of the messages on, when libraries are loaded and connections open, to the last message or
    for so many seconds."""
    head = min(messages // 10, 5_000)
    if not wait_until(lambda: pushes.count() >= head, timeout_s=PATIENCE_S):
        raise BadAnswers(f"{served.name} delivers nothing: {served.process.said()}")
    first, began_at, cpu_before_s = pushes.count(), time.perf_counter(), served.process.cpu_s()
    wait_until(lambda: pushes.count() >= messages, timeout_s=seconds, poll_s=0.05)
    elapsed_s, cpu_s = time.perf_counter() - began_at, served.process.cpu_s() - cpu_before_s
    sample = Sample(messages=pushes.count() - first, elapsed_s=elapsed_s, cpu_s=cpu_s)
    bench.say(f"dispatch: {sample.rate:,.0f}/s, {sample.cpu_us:.0f} µs")
    return sample


def _sent_and_delivered(bench: Bench, mock: Mock, data: Path, texts: Sequence[bytes]) -> Sample:
    messages = len(texts) * BATCH
    with fast_gateway(bench, mock, data) as served:
        pushes, began_at, cpu_before_s = pushes_from_now(mock), time.perf_counter(), served.process.cpu_s()
        tickets = asyncio.run(_send_all(served.url, texts))
        if not wait_until(lambda: pushes.count() >= messages, timeout_s=PATIENCE_S, poll_s=0.05):
            raise BadAnswers(f"{messages - pushes.count()} of {messages} messages were not delivered")
        elapsed_s, cpu_s = time.perf_counter() - began_at, served.process.cpu_s() - cpu_before_s
        _check_receipts(served, tickets)
    sample = Sample(messages=messages, elapsed_s=elapsed_s, cpu_s=cpu_s)
    bench.say(f"end to end: {sample.rate:,.0f}/s, {sample.cpu_us:.0f} µs")
    return sample


async def _send_all(url: str, texts: Sequence[bytes]) -> list[str]:
    """Returns the ticket ids."""
    waiting, tickets = iter(texts), list[str]()
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    async def work(session: aiohttp.ClientSession) -> None:
        for text in waiting:
            async with session.post(url + SEND, data=text, headers=headers) as answer:
                tickets.extend(ticket["id"] for ticket in orjson.loads(await answer.read())["data"])

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work(session))
    return tickets


def _check_receipts(served: Served, tickets: Sequence[str]) -> None:
    """BadAnswers unless each is there and ok; the last ones may take a moment."""
    missing = len(tickets)

    def complete() -> bool:
        nonlocal missing
        missing = len(tickets) - asyncio.run(_ok_receipts(served.url, tickets))
        return missing == 0

    if not wait_until(complete, timeout_s=30.0, poll_s=0.5):
        raise BadAnswers(f"{missing} of {len(tickets)} messages have no receipt that is ok")


async def _ok_receipts(url: str, tickets: Sequence[str]) -> int:
    found = 0
    async with aiohttp.ClientSession() as session:
        for first in range(0, len(tickets), IDS):
            async with session.post(url + RECEIPTS, json={"ids": tickets[first : first + IDS]}) as answer:
                receipts = orjson.loads(await answer.read())["data"]
            found += sum(receipt == RECEIPT_OK for receipt in receipts.values())
    return found
