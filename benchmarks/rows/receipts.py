"""Looking up receipts, with little and with much behind them. One request at a time: a figure of latency."""

from contextlib import ExitStack

from benchmarks.bench import Bench, Found
from benchmarks.figures import Bar, Sense, alone, compared_values
from benchmarks.gateway import Served, can_granian, gateway
from benchmarks.load import RECEIPTS, BadAnswers, Loaded, load, post
from benchmarks.seeds import add_receipts, write_questions
from benchmarks.traffic import Bodies

FEW = 10_000
IDS = 1_000


def receipts(bench: Bench) -> Found:
    """getReceipts with 1,000 ids: those of ten batches, as a client keeps them, and scattered ones."""
    many = bench.smaller(10_000_000, 1_000_000)
    path = f"getReceipts, {IDS:,} ids, {many // 1_000_000} M receipts stored"
    with ExitStack() as stack:
        few_side, few_questions, _ = _stored(bench, stack, FEW)
        many_side, many_questions, scattered = _stored(bench, stack, many)
        few, lots, wild = [], [], []
        for _ in range(bench.rounds):
            few.append(_turn(bench, few_side, few_questions).p99_ms)
            lots.append(_turn(bench, many_side, many_questions).p99_ms)
            wild.append(_turn(bench, many_side, scattered).p99_ms)
        peer = f"the same with {FEW:,} stored"
        bar = Bar(limit=2.0, sense=Sense.AT_MOST)
        yield compared_values(f"{path}: p99", peer, lots, few, unit="ms", bar=bar)
        yield alone(f"{path}: p99", lots, unit="ms", bar=Bar(limit=20.0, sense=Sense.AT_MOST, of_ratio=False))
        yield alone(f"{path}, each of another batch: p99", wild, unit="ms")


def _stored(bench: Bench, stack: ExitStack, count: int) -> tuple[Served, Bodies, Bodies]:
    data = bench.path("data")
    ids = add_receipts(data, count)
    served = stack.enter_context(gateway(data, server="granian" if can_granian() else "hypercorn"))
    questions = write_questions(bench.path("questions"), ids, count=50, ids=IDS, scattered=False)
    scattered = write_questions(bench.path("questions"), ids, count=50, ids=IDS, scattered=True)
    answer = post(served.url + RECEIPTS, (questions.directory / "0.body").read_bytes())
    if answer.count(b'"status":"ok"') != IDS:
        raise BadAnswers(f"{served.name}: {IDS} receipts were asked for, and the answer has others")
    return served, questions, scattered


def _turn(bench: Bench, served: Served, questions: Bodies) -> Loaded:
    loaded = load(served.url, questions, served.process, duration_s=bench.turn_s, connections=1, path=RECEIPTS)
    bench.say(f"receipts: p50 {loaded.p50_ms:.1f} ms, p99 {loaded.p99_ms:.1f} ms")
    return loaded
