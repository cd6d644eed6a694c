"""Join scripts/openapi/*.yaml to expo_gateway/openapi.json, the document that is shipped. `--check` only compares.

The sources are YAML because people write them, and several because they have several subjects; the document is JSON
because the gateway serves it as it is and needs no YAML for it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SOURCES = Path(__file__).parent / "openapi"
DOCUMENT = ROOT / "expo_gateway" / "openapi.json"
FIRST = "document.yaml"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="fail when the document is not that of its sources")
    text = document_text()
    if not arguments.parse_args().check:
        DOCUMENT.write_text(text, encoding="utf-8")
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
        return 0
    print(f"{DOCUMENT.relative_to(ROOT)} is not that of its sources: run python scripts/openapi.py", file=sys.stderr)
    return 1


def document_text() -> str:
    paths = sorted(SOURCES.glob("*.yaml"), key=lambda path: (path.name != FIRST, path.name))
    document: dict[str, Any] = {}
    for path in paths:
        join(document, yaml.safe_load(path.read_text(encoding="utf-8")), at=path.name)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def join(whole: dict[str, Any], part: dict[str, Any], *, at: str) -> None:
    """Add `part` to `whole`, objects key by key. ValueError: something stands there already."""
    for key, value in part.items():
        if key not in whole:
            whole[key] = value
        elif isinstance(whole[key], dict) and isinstance(value, dict):
            join(whole[key], value, at=f"{at}: {key}")
        else:
            raise ValueError(f"{at}: {key} stands in another file already")


if __name__ == "__main__":
    sys.exit(main())
