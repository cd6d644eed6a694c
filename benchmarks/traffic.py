"""What is sent: push tokens, messages, request bodies. The same in every run.

A message has the size and shape of a shop's: a title, a text with a name in it, a small object for the app; a body of
100 has about 21 kB, 6 kB gzipped.
"""

import gzip
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

FULL_NAME = "@bench/shop"
PROJECT_ID = "7b0c3a52-9f0e-4c4e-8a57-4d1f3c0f5b01"
APP_ID = "com.example.shop"
BATCH = 100

_TOKEN_BITS = 128
_WORDS = ("order", "parcel", "courier", "basket", "offer", "stock", "refund", "review", "coupon", "invoice")


def push_token(number: int, count: int) -> str:
    """The `number`th of `count` push tokens. They look random and rise, so that a B-tree of them is made in order."""
    step = (1 << _TOKEN_BITS) // count
    value = number * step + random.Random(number).randrange(step)
    return f"ExponentPushToken[{urlsafe_b64encode(value.to_bytes(16, 'big')).decode()[:22]}]"


def message(to: str, dice: random.Random) -> dict[str, object]:
    word, other = dice.sample(_WORDS, 2)
    order = dice.randrange(10**9)
    return {
        "to": to,
        "title": f"Your {word} is on its way",
        "body": f"Hello {other}-{order % 9973}, {word} {order} left our house and will be with you today.",
        "sound": "default",
        "data": {"orderId": order, "url": f"shop://orders/{order}"},
    }


def body(tokens: Sequence[str], dice: random.Random) -> bytes:
    """A list of messages, or for one token the bare message, as clients send it."""
    messages = [message(token, dice) for token in tokens]
    return orjson.dumps(messages if len(messages) > 1 else messages[0])


def bodies(*, count: int, batch: int, devices: int, seed: int = 1) -> Iterator[bytes]:
    """`count` bodies of `batch` messages each, to devices taken at random."""
    dice = random.Random(seed)
    for _ in range(count):
        yield body([push_token(dice.randrange(devices), devices) for _ in range(batch)], dice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """Bodies in files, for a load generator to send in turn."""

    directory: Path
    count: int
    batch: int
    gzipped: bool
    content_type: str = "application/json"


def write_bodies(directory: Path, *, count: int, batch: int, devices: int, gzipped: bool) -> Bodies:
    directory.mkdir(parents=True)
    for number, plain in enumerate(bodies(count=count, batch=batch, devices=devices)):
        # Level 6 is what expo-server-sdk's node:zlib does.
        data = gzip.compress(plain, 6, mtime=0) if gzipped else plain
        (directory / f"{number}.body").write_bytes(data)
    return Bodies(directory=directory, count=count, batch=batch, gzipped=gzipped)
