"""Reading a seed file: JSON, or YAML where PyYAML is installed (the extra `seed`), and where in it something stands.

Of YAML only what means the same to every reader: no dates, and no words for true and false but these two.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from expo_gateway.errors import SettingsError

# Our choice: some 50,000 devices.
MAX_BYTES: Final = 16 * 1024 * 1024
_STEP: Final = re.compile(r"[^.\[\]]+")

LineOf = Callable[[str], int | None]
"""`devices[2].platform` -> the line where that begins, from 1, or the nearest that contains it; None: not known."""


class SeedFile(Struct, frozen=True, kw_only=True):
    path: Path
    value: object
    line_of: LineOf

    def wrong(self, key: str, message: str) -> SettingsError:
        line = self.line_of(key)
        where = f"{self.path}:{line}" if line is not None else str(self.path)
        return SettingsError(f"{where}: {key}: {message}" if key else f"{where}: {message}")


def read_seed_file(path: Path) -> SeedFile:
    """SettingsError: it can't be read, or is neither JSON nor YAML."""
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise SettingsError(f"emulator.seed: got {path}, which can't be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise SettingsError(f"emulator.seed: got {path}, which is not text") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"emulator.seed: got {path}, with more than {MAX_BYTES} bytes")
    if path.suffix.lower() == ".json":
        return SeedFile(path=path, value=_json(path, text), line_of=lambda _: None)
    return _yaml(path, text)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _json(path: Path, text: str) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise SettingsError(f"{path}: the key {twice} is given more than once in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}:{error.lineno}: this is not JSON: {error.msg}") from None
    except RecursionError:
        raise SettingsError(f"{path}: it is nested too deeply") from None


# -- YAML -------------------------------------------------------------------------------------------------------------


def _yaml(path: Path, text: str) -> SeedFile:
    try:
        import yaml
    except ImportError:
        raise SettingsError(
            f"emulator.seed: got {path}, and PyYAML is not installed; wanted JSON (.json), "
            'or: pip install "expo-gateway[seed]"'
        ) from None

    class Loader(yaml.SafeLoader):
        """Of this one file."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        for line, key in _twice(node):
            raise SettingsError(f"{path}:{line}: the key {key} is given more than once in one mapping")
        value = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise SettingsError(f"{path}:{line}: this is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: this is not YAML: {error}") from None
    finally:
        loader.dispose()
    return SeedFile(path=path, value=value, line_of=lambda key: _line(node, key))


def _twice(node: Any) -> Iterator[tuple[int, str]]:
    """(line, key) of keys that repeat one of their mapping. An alias is looked at once."""
    waiting, known = [node], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in known:
            continue
        known.add(id(one))
        if one.id == "sequence":
            waiting += one.value
        elif one.id == "mapping":
            keys = [key.value for key, _ in one.value if key.id == "scalar"]
            yield from (
                (key.start_mark.line + 1, key.value)
                for number, (key, _) in enumerate(one.value)
                if key.id == "scalar" and key.value in keys[:number]
            )
            waiting += [value for _, value in one.value]


def _line(node: Any, key: str) -> int | None:
    line: int | None = node.start_mark.line + 1 if node is not None else None
    for step in _STEP.findall(key):
        found = next(_children(node, step), None)
        if found is None:
            break
        line, node = found
    return line


def _children(node: Any, step: str) -> Iterator[tuple[int, Any]]:
    if node.id == "sequence" and step.isdecimal() and int(step) < len(node.value):
        child = node.value[int(step)]
        yield child.start_mark.line + 1, child
    if node.id == "mapping":
        yield from ((key.start_mark.line + 1, value) for key, value in node.value if key.value == step)
