"""What every client is told and says, and the loop that all Python ones share."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    pushes: int
    in_flight: int
    port: int
    ca: str
    apns_key: str
    key_id: str
    team_id: str
    service_account: str
    uvloop: bool = False

    @classmethod
    def from_arguments(cls) -> "Task":
        return cls(**json.loads(sys.argv[1]))

    def apns_key_pem(self) -> str:
        return Path(self.apns_key).read_text()

    def service_account_json(self) -> dict[str, object]:
        account: dict[str, object] = json.loads(Path(self.service_account).read_text())
        return account

    def to_json(self) -> str:
        return json.dumps(asdict(self))


async def push_all(task: Task, push: Callable[[int], Awaitable[bool]]) -> dict[str, float]:
    """`in_flight` workers send the pushes one by one. What one connection costs to open is not counted."""
    if not await push(0):
        raise SystemExit("the first push was refused")
    numbers = iter(range(1, task.pushes + 1))
    began_at, cpu_before_s = time.perf_counter(), time.process_time()
    accepted = sum(await asyncio.gather(*(_work(numbers, push) for _ in range(task.in_flight))))
    return {
        "accepted": accepted,
        "elapsed_s": time.perf_counter() - began_at,
        "cpu_s": time.process_time() - cpu_before_s,
    }


async def _work(numbers: Iterator[int], push: Callable[[int], Awaitable[bool]]) -> int:
    return sum([await push(number) for number in numbers])


def say(found: dict[str, float]) -> None:
    print(json.dumps(found), flush=True)


def run(task: Task, main: Callable[[Task], Awaitable[dict[str, float]]]) -> None:
    """In an event loop of the kind that was asked for."""

    async def _main() -> dict[str, float]:
        return await main(task)

    if task.uvloop:
        import uvloop

        say(uvloop.run(_main()))
    else:
        say(asyncio.run(_main()))
