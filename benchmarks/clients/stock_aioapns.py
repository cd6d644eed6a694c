"""aioapns as PyPI brings it, but for the address of Apple."""

import ssl
from uuid import uuid4

import orjson
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

from benchmarks.clients.ours_apns import PAYLOAD
from benchmarks.clients.task import Task, push_all, run
from benchmarks.traffic import APP_ID


async def main(task: Task) -> dict[str, float]:
    class Protocol(APNsProductionClientProtocol):  # type: ignore[misc, unused-ignore]
        APNS_SERVER = "localhost"
        APNS_PORT = task.port

    context = ssl.create_default_context(cafile=task.ca)
    # Apple speaks HTTP/2 unasked; nginx wants to be asked.
    context.set_alpn_protocols(["h2"])
    key = task.apns_key_pem()
    client = APNs(key=key, key_id=task.key_id, team_id=task.team_id, topic=APP_ID, ssl_context=context)
    client.pool.protocol_class = Protocol

    async def push(number: int) -> bool:
        request = NotificationRequest(
            device_token=f"{number:064x}",
            message=orjson.loads(PAYLOAD % number),
            notification_id=str(uuid4()),
            priority=10,
            push_type=PushType.ALERT,
        )
        return bool((await client.send_notification(request)).is_successful)

    return await push_all(task, push)


if __name__ == "__main__":
    run(Task.from_arguments(), main)
