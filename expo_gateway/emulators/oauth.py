"""Google's OAuth token endpoint for service accounts, and the access tokens that it gave out.

Protocol: https://developers.google.com/identity/protocols/oauth2/service-account#httprest (the JWT bearer grant of
RFC 7523). A client reaches it when the `token_uri` of its service-account JSON points here. The audience of an
assertion must be there but is not compared: google-auth signs Google's own address whatever `token_uri` says.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from expo_gateway.emulators.faults import Answer, json_answer

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = frozenset(
    ("https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform")
)
TOKEN_LIFE_S = 3599
"""As Google answers it."""
MAX_ASSERTION_LIFE_S = 3600
# Our choice: Google calls it "a reasonable timeframe"; reports of refusals begin at some minutes.
MAX_CLOCK_SKEW_S = 300
# Our choice: an hour of a client that asks for a token with every push (pyfcm does); about 12 MB.
MAX_TOKENS = 10_000
TOKEN_RANDOM_BYTES = 760
"""Makes an access token of about 1,024 characters, as Google's for service accounts are."""
TIMEFRAME_TEXT = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    client_email: str
    project_id: str
    project_number: str
    """"" when it is not known; then any number passes for this project's."""

    def may_send_for(self, project: str) -> bool:
        """`project` as it stands in a path: id or number."""
        if project.isdecimal():
            return self.project_number in ("", project)
        return project == self.project_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What an access token is worth. Foreign: never given out here, or so long ago that it is forgotten."""

    standing: Literal["valid", "expired", "foreign"]
    account: ServiceAccount | None = None
    """None when the account is not one of those made known."""
    mark: int = 0
    """What was written on it when it was given out."""


@dataclass(slots=True)
class _Issued:
    account: ServiceAccount | None
    expires_at: float
    clock: Callable[[], float]
    mark: int


class OAuth:
    """The token endpoint's decisions; `FcmEmulator` serves them at `/token`.

    An assertion of an unknown service account is judged by its form alone, since the emulator's users come with
    credentials of their own, whose public keys it can't know; `known_accounts_only` refuses those, as Google does.
    `known_tokens_only` makes FCM refuse access tokens that this endpoint never gave out; by default they pass, so that
    a client with a fake credentials object works. Tokens that it did give out stop working when they expire, in both
    cases.

    `clock` judges assertions, which clients date by their machine. Access tokens may live by another: their world's.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        known_accounts_only: bool = False,
        known_tokens_only: bool = False,
        max_tokens: int = MAX_TOKENS,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self.known_accounts_only = known_accounts_only
        self.known_tokens_only = known_tokens_only
        self._clock = clock
        self._max_tokens = max_tokens
        self._random_text = random_text
        self._accounts: dict[str, ServiceAccount] = {}
        self._keys: dict[tuple[str, str], RSAPublicKey] = {}
        self._issued: OrderedDict[str, _Issued] = OrderedDict()

    def trust_service_account(
        self,
        *,
        client_email: str,
        private_key_id: str,
        public_key_pem: str | bytes,
        project_id: str,
        project_number: str = "",
    ) -> None:
        """From now on this account's assertions must be signed by one of its keys, and it sends for its project only.

        Again with another `private_key_id` adds a key. Raises ValueError when the PEM holds no RSA public key.
        """
        pem = public_key_pem.encode() if isinstance(public_key_pem, str) else public_key_pem
        key = load_pem_public_key(pem)
        if not isinstance(key, RSAPublicKey):
            raise ValueError(f"want an RSA public key for RS256, got {type(key).__name__}")
        self._keys[client_email, private_key_id] = key
        self._accounts[client_email] = ServiceAccount(
            client_email=client_email, project_id=project_id, project_number=project_number
        )

    def forget_service_account(self, client_email: str) -> None:
        """It is unknown from now on; what it was given stays bound to its project."""
        self._accounts.pop(client_email, None)
        for known in [known for known in self._keys if known[0] == client_email]:
            del self._keys[known]

    def exchange(
        self, assertion: "Assertion | Answer", *, clock: Callable[[], float] | None = None, mark: int = 0
    ) -> Answer:
        """The answer to one token request, of what `read_form` read. The token lives by `clock` and bears the mark."""
        if isinstance(assertion, Answer):
            return assertion
        refusal = self._judge_signer(assertion) or judge_claims(assertion.claims, now=self._clock())
        if refusal is not None:
            return refusal
        return self.grant(self._accounts.get(assertion.issuer), clock=clock, mark=mark)

    def grant(
        self, account: ServiceAccount | None = None, *, clock: Callable[[], float] | None = None, mark: int = 0
    ) -> Answer:
        """A fresh access token; the oldest goes when there are too many."""
        clock = clock or self._clock
        token = f"ya29.c.{self._random_text(TOKEN_RANDOM_BYTES)}"
        self._issued[token] = _Issued(account, clock() + TOKEN_LIFE_S, clock, mark)
        while len(self._issued) > self._max_tokens:
            self._issued.popitem(last=False)
        return json_answer(200, {"access_token": token, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"})

    def check(self, access_token: str) -> Access:
        issued = self._issued.get(access_token)
        if issued is None:
            return Access(standing="foreign")
        if issued.expires_at <= issued.clock():
            return Access(standing="expired")
        return Access(standing="valid", account=issued.account, mark=issued.mark)

    def revoke_all(self) -> None:
        """Every token given out so far has expired: FCM answers ACCESS_TOKEN_EXPIRED to it."""
        for issued in self._issued.values():
            issued.expires_at = float("-inf")

    def __len__(self) -> int:
        """How many tokens are remembered, expired ones too."""
        return len(self._issued)

    def _judge_signer(self, assertion: "Assertion") -> Answer | None:
        if assertion.issuer not in self._accounts:
            return _invalid_grant("Invalid grant: account not found") if self.known_accounts_only else None
        key = self._keys.get((assertion.issuer, assertion.key_id))
        if key is None or not _is_signed_by(assertion.text, key):
            return _invalid_grant("Invalid JWT Signature.")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """Who asks for an access token, and with what."""

    text: str
    issuer: str
    key_id: str
    claims: Mapping[str, object]


def judge_claims(claims: Mapping[str, object], *, now: float) -> Answer | None:
    """The refusal of an assertion for its audience, times or scope."""
    if not isinstance(claims.get("aud"), str) or not claims["aud"]:
        return _invalid_grant("Invalid JWT: Failed audience check.")
    if not _is_in_time(claims.get("iat"), claims.get("exp"), now):
        return _invalid_grant(TIMEFRAME_TEXT)
    scopes = str(claims.get("scope") or "").split()
    if not scopes:
        return _refusal("invalid_scope", "Empty or missing scope not allowed.")
    if SCOPES.isdisjoint(scopes):
        # Google gives a token for any scope that it knows and FCM refuses later; here a test sees its mistake sooner.
        return _refusal("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return None


def _is_in_time(issued_at: object, expires_at: object, now: float) -> bool:
    times = (issued_at, expires_at)
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in times):
        return False
    iat, exp = cast(tuple[float, float], times)
    return iat - MAX_CLOCK_SKEW_S <= now < exp and 0 < exp - iat <= MAX_ASSERTION_LIFE_S


def read_form(form: bytes) -> Assertion | Answer:
    """The assertion in the body of a token request, unverified; or the refusal."""
    fields = parse_qs(form.decode("utf-8", "replace"), keep_blank_values=True)
    grant_type, text = (fields.get(name, [""])[0] for name in ("grant_type", "assertion"))
    if not grant_type:
        return _refusal("invalid_request", "Required parameter is missing: grant_type")
    if grant_type != GRANT_TYPE:
        return _refusal("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
    if not text:
        return _refusal("invalid_request", "Missing required parameter: assertion")
    return _read_assertion(text)


def _read_assertion(text: str) -> Assertion | Answer:
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except jwt.PyJWTError:
        return _invalid_grant("Invalid JWT: could not be parsed.")
    issuer, key_id = claims.get("iss"), header.get("kid")
    if header.get("alg") != "RS256":
        return _invalid_grant("Invalid JWT: wants the RS256 algorithm.")
    if not isinstance(issuer, str) or not issuer:
        return _invalid_grant("Invalid JWT: the iss claim names no service account.")
    if not isinstance(key_id, str) or not key_id:
        return _invalid_grant("Invalid JWT: the kid header names no key.")
    return Assertion(text=text, issuer=issuer, key_id=key_id, claims=claims)


def _is_signed_by(text: str, key: RSAPublicKey) -> bool:
    # JWS, not JWT: times and audience are judged by our clock and in Google's words.
    try:
        jwt.PyJWS().decode(text, key, algorithms=["RS256"])
    except jwt.PyJWTError:
        return False
    return True


def _invalid_grant(description: str) -> Answer:
    return _refusal("invalid_grant", description)


def _refusal(error: str, description: str) -> Answer:
    return json_answer(400, {"error": error, "error_description": description})
