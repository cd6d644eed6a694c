"""pyfcm as PyPI brings it, but for the address of Google: async_notify_multiple_devices, `in_flight` at a time.

The library finds the mock's certificate authority by SSL_CERT_FILE and REQUESTS_CA_BUNDLE.
"""

import time

from pyfcm import FCMNotification

from benchmarks.clients.ours_fcm import device_token
from benchmarks.clients.task import Task, say
from benchmarks.mock import GOOGLE_PROJECT


def main(task: Task) -> dict[str, float]:
    client = FCMNotification(service_account_file=task.service_account, project_id=GOOGLE_PROJECT)
    client.FCM_END_POINT_BASE = f"https://localhost:{task.port}/v1/projects"

    def push(numbers: range) -> int:
        parameters = [
            {
                "fcm_token": device_token(number),
                "notification_title": "Your order is on its way",
                "notification_body": "Hello, it left our house today.",
                "data_payload": {"n": str(number)},
                "android_config": {"priority": "high"},
            }
            for number in numbers
        ]
        answers = client.async_notify_multiple_devices(parameters, timeout=30)
        return sum("name" in answer for answer in answers)

    push(range(1))
    began_at, cpu_before_s = time.perf_counter(), time.process_time()
    step = task.in_flight
    accepted = sum(push(range(first, min(first + step, task.pushes))) for first in range(0, task.pushes, step))
    return {
        "accepted": accepted,
        "elapsed_s": time.perf_counter() - began_at,
        "cpu_s": time.process_time() - cpu_before_s,
    }


if __name__ == "__main__":
    say(main(Task.from_arguments()))
