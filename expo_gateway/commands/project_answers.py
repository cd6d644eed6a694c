"""A configured project as an answer, for programs and for people. What is secret in it never gets here."""

from collections.abc import Iterator

from expo_gateway.commands.stored import shown_at
from expo_gateway.protocol.project import AccessToken, ApnsCredential, ApnsKeyFile, ConfiguredProject


def as_json(one: ConfiguredProject) -> dict[str, object]:
    """`notifications_per_second` is null where there is no limit."""
    return {
        "full_name": one.project.full_name,
        "project_id": one.project.project_id,
        "kind": one.project.kind.value,
        "requires_token": one.requires_token,
        "notifications_per_second": one.notifications_per_second,
        "apns": [apns_json(credential) for credential in one.apns],
        "fcm": None if one.fcm is None else fcm_json(one.fcm.service_account),
        "tokens": [token_json(token) for token in one.tokens],
    }


def apns_json(credential: ApnsCredential) -> dict[str, object]:
    secret = credential.secret
    if isinstance(secret, ApnsKeyFile):
        named: dict[str, object] = {"type": "key", "key_id": secret.key_id, "team_id": secret.team_id}
    else:
        named = {"type": "certificate"}
    return {**named, "environment": credential.environment, "bundle_ids": list(credential.bundle_ids)}


def fcm_json(account: object) -> dict[str, object]:
    assert hasattr(account, "get")
    return {key: account.get(key) for key in ("project_id", "client_email")}


def token_json(token: AccessToken) -> dict[str, object]:
    return {"name": token.name, "hint": token.hint, "created_at": shown_at(token.created_at)}


def lines_of(one: ConfiguredProject) -> Iterator[tuple[str, str]]:
    """(label, text)"""
    yield "project", one.project.full_name
    yield "id", one.project.project_id
    yield "kind", one.project.kind.value
    for credential in one.apns:
        secret = credential.secret
        what = f"key {secret.key_id} of {secret.team_id}" if isinstance(secret, ApnsKeyFile) else "certificate"
        yield "APNs", f"{what}, {credential.environment}, for {', '.join(credential.bundle_ids) or 'any app'}"
    if one.fcm is not None:
        yield "FCM", str(one.fcm.service_account.get("client_email"))
    yield "access tokens", "required" if one.requires_token else "not required"
    for token in one.tokens:
        yield "", f"{token.name}, {token.hint}, made {shown_at(token.created_at)}"
    limit = one.notifications_per_second
    yield "rate limit", "none" if limit is None else f"{limit} notifications a second"
