"""Access tokens: made once, kept as a digest, compared."""

import pytest

from expo_gateway.admission.access import TOKEN_RANDOM_BYTES, check_bearer, digest, new_access_token
from expo_gateway.errors import BearerRefused, RequestRefused
from expo_gateway.protocol.device import Project, ProjectKind
from expo_gateway.protocol.project import ConfiguredProject

PROJECT = Project(project_id="6d9b1f0e-6c0a-5d5e-9a3e-0c6f1f6f7a11", full_name="@acme/shop", kind=ProjectKind.REAL)
TOKEN, KEPT = new_access_token("ci", random_bytes=bytes(range(TOKEN_RANDOM_BYTES)), now=5.0)


def configured(*, requires_token: bool, has_token: bool = True) -> ConfiguredProject:
    return ConfiguredProject(project=PROJECT, requires_token=requires_token, tokens=(KEPT,) if has_token else ())


def verdict(one: ConfiguredProject, bearer: str | None, **known: set[bytes]) -> int:
    try:
        check_bearer(one, bearer, **known)
    except RequestRefused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    ("requires_token", "has_token", "bearer", "status"),
    [
        (False, False, None, 200),
        (False, False, "whatever", 200),
        (False, True, None, 200),
        (False, True, "whatever", 401),
        (False, True, TOKEN, 200),
        (True, True, None, 403),
        (True, True, "", 403),
        (True, True, "whatever", 401),
        (True, True, TOKEN, 200),
        (True, True, TOKEN + "x", 401),
        (True, True, TOKEN[:-1], 401),
        (True, False, None, 403),
        (True, False, TOKEN, 401),
    ],
)
def test_who_may_send(requires_token: bool, has_token: bool, bearer: str | None, status: int) -> None:
    assert verdict(configured(requires_token=requires_token, has_token=has_token), bearer) == status


@pytest.mark.parametrize(("requires_token", "status"), [(True, 403), (False, 200)])
def test_a_token_of_another_project_is_a_token_but_not_enough(requires_token: bool, status: int) -> None:
    other, _ = new_access_token("other", random_bytes=bytes(TOKEN_RANDOM_BYTES), now=5.0)

    assert verdict(configured(requires_token=requires_token), other, elsewhere={digest(other)}) == status


def test_what_is_kept_tells_tokens_apart_and_gives_none_away() -> None:
    assert TOKEN.startswith("egt_")
    assert len(TOKEN) == 4 + 43
    assert KEPT.sha256 == digest(TOKEN)
    assert (KEPT.name, KEPT.hint, KEPT.created_at) == ("ci", f"{TOKEN[:8]}…{TOKEN[-2:]}", 5.0)
    assert TOKEN not in repr(KEPT)
    assert repr(KEPT.sha256) not in repr(KEPT)


def test_the_answer_to_an_unknown_token_is_oauths() -> None:
    with pytest.raises(BearerRefused) as refused:
        check_bearer(configured(requires_token=True), "whatever")

    assert (refused.value.code, refused.value.message) == ("invalid_token", "The bearer token is invalid")
