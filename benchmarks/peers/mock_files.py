"""The files of the two general mocks: a static answer of 100 tickets, whatever is asked."""

import json
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from benchmarks.load import SEND
from benchmarks.traffic import BATCH


def _answer() -> str:
    tickets = [{"status": "ok", "id": str(uuid5(NAMESPACE_URL, str(number)))} for number in range(BATCH)]
    return json.dumps({"data": tickets}, separators=(",", ":"))


def write_mockoon(directory: Path, *, port: int) -> Path:
    """Mockoon's data file: https://mockoon.com/docs/latest/mockoon-data-files/data-files-location/"""
    path = directory / "mockoon.json"
    json_type = [{"key": "Content-Type", "value": "application/json"}]
    answer = {
        "uuid": "c0ffee00-0000-4000-8000-000000000002",
        "body": _answer(),
        "latency": 0,
        "statusCode": 200,
        "label": "",
        "headers": json_type,
        "bodyType": "INLINE",
        "filePath": "",
        "databucketID": "",
        "sendFileAsBody": False,
        "rules": [],
        "rulesOperator": "OR",
        "disableTemplating": True,
        "fallbackTo404": False,
        "default": True,
        "crudKey": "id",
        "callbacks": [],
    }
    route = {
        "uuid": "c0ffee00-0000-4000-8000-000000000001",
        "type": "http",
        "documentation": "",
        "method": "post",
        "endpoint": SEND.lstrip("/"),
        "responses": [answer],
        "responseMode": None,
        "streamingMode": None,
        "streamingInterval": 0,
    }
    data = {
        "uuid": "c0ffee00-0000-4000-8000-000000000000",
        "lastMigration": 33,
        "name": "expo",
        "endpointPrefix": "",
        "latency": 0,
        "port": port,
        "hostname": "127.0.0.1",
        "folders": [],
        "routes": [route],
        "rootChildren": [{"type": "route", "uuid": route["uuid"]}],
        "proxyMode": False,
        "proxyHost": "",
        "proxyRemovePrefix": False,
        "tlsOptions": {
            "enabled": False,
            "type": "CERT",
            "pfxPath": "",
            "certPath": "",
            "keyPath": "",
            "caPath": "",
            "passphrase": "",
        },
        "cors": False,
        "headers": [],
        "proxyReqHeaders": [],
        "proxyResHeaders": [],
        "data": [],
        "callbacks": [],
    }
    path.write_text(json.dumps(data))
    return path


def write_wiremock(directory: Path) -> Path:
    """WireMock's root directory with one stub: https://wiremock.org/docs/stubbing/"""
    root = directory / "wiremock"
    (root / "mappings").mkdir(parents=True)
    stub = {
        "request": {"method": "POST", "urlPath": SEND},
        "response": {"status": 200, "body": _answer(), "headers": {"Content-Type": "application/json"}},
    }
    (root / "mappings" / "send.json").write_text(json.dumps(stub))
    return root
