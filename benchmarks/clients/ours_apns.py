"""ApnsProvider, as the dispatcher uses it."""

import time
from uuid import uuid4

from benchmarks.clients.task import Task, push_all, run
from benchmarks.traffic import APP_ID
from expo_gateway.protocol.apns import ApnsRequest
from expo_gateway.providers.apns import ApnsEndpoint, ApnsKey, ApnsProvider, apns_ssl_context
from expo_gateway.providers.base import Accepted

PAYLOAD = b'{"aps":{"alert":{"title":"Your order is on its way","body":"Hello, it left our house today."}},"n":%d}'


async def main(task: Task) -> dict[str, float]:
    context = apns_ssl_context()
    context.load_verify_locations(task.ca)
    endpoint = ApnsEndpoint(host="127.0.0.1", port=task.port, authority="api.push.apple.com")
    key = ApnsKey(key_id=task.key_id, team_id=task.team_id, private_key_pem=task.apns_key_pem())
    provider = ApnsProvider(key=key, production=endpoint, ssl_context=context, clock=time.time, emulated=False)

    async def push(number: int) -> bool:
        request = ApnsRequest(
            apns_id=str(uuid4()),
            device_token=f"{number:064x}",
            sandbox=False,
            topic=APP_ID,
            push_type="alert",
            priority=10,
            expiration=None,
            collapse_id=None,
            payload=PAYLOAD % number,
        )
        return isinstance(await provider.send(request), Accepted)

    try:
        return await push_all(task, push)
    finally:
        await provider.close()


if __name__ == "__main__":
    run(Task.from_arguments(), main)
