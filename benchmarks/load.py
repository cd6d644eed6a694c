"""The load generator: wrk in the shape of Expo's SDKs, six keep-alive connections with one request in flight each.

wrk takes one core of its own; h2load would do, but counts Hypercorn's answers, whose reason phrase is empty, as failed.
"""

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Sample
from benchmarks.processes import Process, environment
from benchmarks.traffic import Bodies

SEND = "/--/api/v2/push/send"
RECEIPTS = "/--/api/v2/push/getReceipts"
# https://github.com/expo/expo-server-sdk-node: DEFAULT_CONCURRENT_REQUEST_LIMIT
IN_FLIGHT = 6
SCRIPT = Path(__file__).parent / "peers" / "post.lua"
ANSWER_S = 10.0


class BadAnswers(Exception):
    """Who refuses or loses requests is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    sample: Sample
    p50_ms: float
    p99_ms: float


def load(
    url: str, bodies: Bodies, process: Process, *, duration_s: float, connections: int = IN_FLIGHT, path: str = SEND
) -> Loaded:
    """POST for so long. BadAnswers: not everything was answered 200."""
    cpu_before_s = process.cpu_s()
    found = _wrk(url + path, bodies, duration_s=duration_s, connections=connections)
    cpu_s = process.cpu_s() - cpu_before_s
    if found["bad_status"] or found["broken"] or not found["requests"]:
        raise BadAnswers(f"{url}: {found}; {process.said()}")
    messages = found["requests"] * bodies.batch
    return Loaded(
        sample=Sample(messages=messages, elapsed_s=found["elapsed_us"] / 1e6, cpu_s=cpu_s),
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
    )


def _wrk(url: str, bodies: Bodies, *, duration_s: float, connections: int) -> dict[str, int]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(duration_s))}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), url, "--", str(bodies.directory), str(bodies.count), str(int(bodies.gzipped))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=duration_s + 30, check=True, env=environment()
    )
    found: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def post(url: str, body: bytes, *, gzipped: bool = False) -> bytes:
    """One request; the body of its answer. urllib's errors when it is not 200."""
    headers = {"content-type": "application/json"} | ({"content-encoding": "gzip"} if gzipped else {})
    request = urllib.request.Request(url, data=body, headers=headers)
    with _OPENER.open(request, timeout=ANSWER_S) as answer:
        return bytes(answer.read())


def get(url: str) -> bytes:
    with _OPENER.open(url, timeout=ANSWER_S) as answer:
        return bytes(answer.read())


def check_tickets(url: str, bodies: Bodies) -> None:
    """BadAnswers unless every message of the first body gets a ticket: errors would be cheap."""
    data = (bodies.directory / "0.body").read_bytes()
    tickets = json.loads(post(url + SEND, data, gzipped=bodies.gzipped))["data"]
    tickets = tickets if isinstance(tickets, list) else [tickets]
    wrong = [ticket for ticket in tickets if ticket.get("status") != "ok"]
    if wrong or len(tickets) != bodies.batch:
        raise BadAnswers(f"{url}: {len(tickets)} tickets, {wrong[:1]}")


# No proxy from the environment: everything is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
