import gzip
from pathlib import Path

import orjson
import pytest

from benchmarks.bench import shuffled
from benchmarks.traffic import bodies, push_token, write_bodies
from expo_gateway.protocol.message import decode_send_request
from expo_gateway.protocol.push_token import is_well_formed


def test_push_tokens_are_expos_and_differ() -> None:
    tokens = {push_token(number, 1_000) for number in range(1_000)}

    assert len(tokens) == 1_000
    assert all(is_well_formed(token) for token in tokens)


def test_a_body_is_what_the_gateway_accepts_and_as_large_as_it_says() -> None:
    (body,) = bodies(count=1, batch=100, devices=1_000)

    assert len(list(decode_send_request(body).recipients())) == 100
    assert 18_000 < len(body) < 26_000
    assert 4_000 < len(gzip.compress(body, 6)) < 8_000


def test_the_same_bodies_are_made_again() -> None:
    assert list(bodies(count=2, batch=10, devices=50)) == list(bodies(count=2, batch=10, devices=50))


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_single_message_is_sent_bare(tmp_path: Path, gzipped: bool) -> None:
    written = write_bodies(tmp_path / "bodies", count=2, batch=1, devices=10, gzipped=gzipped)

    data = (written.directory / "1.body").read_bytes()
    assert "to" in orjson.loads(gzip.decompress(data) if gzipped else data)


def test_turns_come_in_another_order_each_round_and_the_same_one_each_run() -> None:
    names = list("abcdef")
    orders = [shuffled(names, seed=number) for number in range(5)]

    assert all(sorted(order) == names for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == [shuffled(names, seed=number) for number in range(5)]
