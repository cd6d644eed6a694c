"""What stands for the code under test: it sends as an app's server does."""

from typing import Any

import httpx

from expo_gateway.testing import Run

TOKEN = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"


def send(run: Run, **message: object) -> Any:
    """The ticket of a message to TOKEN, or to whom it says."""
    answer = httpx.post(f"{run.url}/--/api/v2/push/send", json={"to": TOKEN, **message})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def ask_receipt(run: Run, ticket_id: str) -> Any:
    """None: getReceipts does not have it."""
    answer = httpx.post(f"{run.url}/--/api/v2/push/getReceipts", json={"ids": [ticket_id]})
    return answer.json()["data"].get(ticket_id)
