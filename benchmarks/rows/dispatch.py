"""Sending to Apple and Google: the clients alone, each in a process of its own, against the same mock over TLS."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bench import Bench, Found, shuffled
from benchmarks.clients.task import Task
from benchmarks.figures import Bar, Row, Sample, Sense, Skipped, alone, compared
from benchmarks.mock import KEY_ID, TEAM_ID, Mock, is_there, provider_mock
from benchmarks.processes import environment

CLIENTS = Path(__file__).parent.parent / "clients"
NODE_APN = CLIENTS.parent / "peers" / "node" / "node_modules" / "@parse" / "node-apn"
CLIENT_S = 120.0
# Our choice: as many as one connection to Apple carries of ours at once.
IN_FLIGHT = 200
# aiohttp's connections of ours.
FCM_IN_FLIGHT = 64

_Client = Callable[[Task], Sample]


class ClientFailed(Exception):
    """A client that fails or loses pushes is not measured."""


def apns(bench: Bench) -> Found:
    """ApnsProvider, aioapns, @parse/node-apn."""
    if not is_there():
        yield Skipped(path="APNs", why="nginx is not installed")
        return
    clients: dict[str, tuple[_Client, int]] = {
        "ours": (_python("ours_apns"), bench.smaller(20_000, 4_000)),
        "aioapns": (_python("stock_aioapns"), bench.smaller(4_000, 1_000)),
    }
    if find_spec("uvloop") is not None:
        clients["ours, uvloop"] = (_python("ours_apns", uvloop=True), bench.smaller(20_000, 4_000))
    if shutil.which("node") is not None and NODE_APN.exists():
        clients["@parse/node-apn"] = (_node_apn, bench.smaller(20_000, 4_000))
    found, path = _turns(bench, clients, IN_FLIGHT), "APNs, one client process"
    yield _row(path, found, "ours", "aioapns", bar=Bar(limit=5.0, stretch=8.0))
    yield _row(path, found, "ours", "@parse/node-apn", bar=Bar(limit=1.2))
    yield _row(path, found, "ours, uvloop", "aioapns")
    bar = Bar(limit=100.0, sense=Sense.AT_MOST, of_ratio=False)
    if "ours" in found:
        yield alone(f"{path}: CPU of a push", [one.cpu_us for one in found["ours"]], unit="µs", bar=bar)


def fcm(bench: Bench) -> Found:
    """FcmProvider, pyfcm's own async send."""
    if not is_there():
        yield Skipped(path="FCM", why="nginx is not installed")
        return
    clients: dict[str, tuple[_Client, int]] = {
        "ours": (_python("ours_fcm"), bench.smaller(10_000, 2_000)),
        "pyfcm": (_python("stock_pyfcm"), bench.smaller(1_500, 400)),
    }
    found = _turns(bench, clients, FCM_IN_FLIGHT)
    yield _row("FCM, one client process", found, "ours", "pyfcm", bar=Bar(limit=6.0))


def task_for(mock: Mock, *, pushes: int, in_flight: int) -> Task:
    return Task(
        pushes=pushes,
        in_flight=in_flight,
        port=mock.port,
        ca=str(mock.tls.ca_pem),
        apns_key=str(mock.apns_key),
        key_id=KEY_ID,
        team_id=TEAM_ID,
        service_account=str(mock.service_account),
    )


def stock_aioapns(task: Task) -> Sample:
    return _python("stock_aioapns")(task)


def _turns(bench: Bench, clients: dict[str, tuple[_Client, int]], in_flight: int) -> dict[str, list[Sample]]:
    """A client that fails is left out, and the run says so."""
    found: dict[str, list[Sample]] = {name: [] for name in clients}
    with provider_mock(bench.path("mock")) as mock:
        for number in range(bench.rounds):
            for name in shuffled(found, seed=number):
                client, pushes = clients[name]
                try:
                    sample = client(task_for(mock, pushes=pushes, in_flight=in_flight))
                except ClientFailed as error:
                    bench.say(f"{name} is left out: {error}")
                    del found[name]
                    continue
                bench.say(f"{name}: {sample.rate:,.0f}/s, {sample.cpu_us:.0f} µs")
                found[name].append(sample)
    return found


def _row(path: str, found: dict[str, list[Sample]], ours: str, peer: str, *, bar: Bar | None = None) -> Row | Skipped:
    path = path + ours.removeprefix("ours")
    missing = next((name for name in (ours, peer) if name not in found), None)
    if missing is not None:
        return Skipped(path=f"{path} / {peer}", why=f"{missing} is not installed, or failed")
    return compared(path, peer, found[ours], found[peer], bar=bar)


def _python(module: str, *, uvloop: bool = False) -> _Client:
    def run(task: Task) -> Sample:
        asked = replace(task, uvloop=uvloop)
        return _run([sys.executable, "-m", f"benchmarks.clients.{module}", asked.to_json()], asked)

    return run


def _node_apn(task: Task) -> Sample:
    return _run(["node", str(CLIENTS / "node_apn.js"), task.to_json()], task)


def _run(command: list[str], task: Task) -> Sample:
    """ClientFailed: it ended with an error, or pushes were lost."""
    trusting = {"SSL_CERT_FILE": task.ca, "REQUESTS_CA_BUNDLE": task.ca}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=CLIENT_S, env=environment(trusting), cwd=CLIENTS.parent.parent
    )
    if done.returncode:
        raise ClientFailed(f"{command[:3]} failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["accepted"] != task.pushes:
        raise ClientFailed(f"{command[:3]}: {found['accepted']} of {task.pushes} pushes were accepted")
    return Sample(messages=task.pushes, elapsed_s=found["elapsed_s"], cpu_s=found["cpu_s"])
