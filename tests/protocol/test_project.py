"""What is configured for a project."""

import dataclasses

from msgspec.structs import replace

from expo_gateway.protocol.project import ApnsCredential, ApnsEnvironment, with_apns
from tests.registry.contract_projects import CONFIGURED, KEY, TOKEN

ENVIRONMENTS: tuple[ApnsEnvironment, ...] = ("production", "sandbox", "both")


def test_no_secret_is_in_a_repr() -> None:
    shown = repr(replace(CONFIGURED, tokens=(TOKEN,)))

    assert [secret for secret in ("a key", "its key", "another key", "a certificate", "x01") if secret in shown] == []


def test_a_new_apns_credential_takes_the_place_of_the_one_for_its_environment() -> None:
    production, sandbox, both = (ApnsCredential(secret=KEY, environment=name) for name in ENVIRONMENTS)
    another = replace(sandbox, secret=dataclasses.replace(KEY, key_id="ANOTHERKEY"))

    assert with_apns(with_apns((both,), sandbox), production) == (production, sandbox, both)
    assert with_apns((production, sandbox), another) == (production, another)
    assert with_apns((production, sandbox), both) == (both,)


def test_an_apns_credential_serves_its_environment_and_its_apps() -> None:
    production = ApnsCredential(secret=KEY, environment="production", bundle_ids=("com.acme.shop",))

    assert production.serves("com.acme.shop", sandbox=False)
    assert not production.serves("com.acme.shop", sandbox=True)
    assert not production.serves("com.acme.desk", sandbox=False)
    assert CONFIGURED.apns_for("com.acme.shop", sandbox=True) == CONFIGURED.apns[0]
    assert CONFIGURED.apns_for("com.other", sandbox=True) == CONFIGURED.apns[1]
