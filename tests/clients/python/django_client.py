"""django-expo-notifications: a Django app whose Celery tasks send and ask for receipts."""

import logging

import checks
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "expo_notifications"],
    USE_TZ=True,
)
django.setup()

from celery import Celery  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from expo_notifications.models import Device, Message, Receipt, Ticket  # noqa: E402
from expo_notifications.tasks import check_receipts, send_messages  # noqa: E402
from exponent_server_sdk import PushClient  # noqa: E402

# It has no setting for the host; this is the default of the SDK under it.
PushClient.DEFAULT_HOST = checks.GATEWAY_URL
# A broker that lives in this process; the tasks are run by hand.
Celery("clients", broker="memory://", set_as_current=True)
logging.disable()
call_command("migrate", verbosity=0)
user = User.objects.create(username="someone")


def send(token: str, **fields: object) -> Ticket:
    device, _ = Device.objects.get_or_create(user=user, push_token=token)
    message = Message.objects.create(device=device, **fields)
    send_messages.run([message.pk])
    return Ticket.objects.get(message=message)


def receipt_of(ticket: Ticket) -> Receipt:
    def found() -> Receipt | None:
        check_receipts.run([ticket.pk])
        return Receipt.objects.filter(ticket=ticket).first()

    return checks.until(found, "receipt")


def tickets() -> None:
    checks.expect("ticket", True, send(checks.TOKEN_IOS, title="Hello").is_success)
    checks.expect("ticket", True, send(checks.TOKEN_ANDROID, body="Hello").is_success)


def receipts() -> None:
    for ticket in Ticket.objects.filter(is_success=True):
        checks.expect("receipt", True, receipt_of(ticket).is_success)


def errors() -> None:
    ticket = send(checks.TOKEN_UNKNOWN, title="Hello")
    checks.expect("ticket", False, ticket.is_success)
    checks.expect("device", False, Device.objects.get(push_token=checks.TOKEN_UNKNOWN).is_active)
    receipt = receipt_of(send(checks.TOKEN_IOS, data={"text": "x" * 5000}))
    checks.expect("receipt", False, receipt.is_success)


checks.run("django-expo-notifications", {"tickets": tickets, "receipts": receipts, "errors": errors})
