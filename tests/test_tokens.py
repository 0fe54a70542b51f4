"""How long a function's key lives."""

import jwt
import pytest

from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.models import Execution, ExecutionRequest, Function
from minifn.services.function_calls import FunctionCalls
from minifn.tokens import KEY_GRACE_SECONDS, KEY_REUSE_SECONDS, Tokens

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000


def ends(key: str) -> int:
    """Return the second at which a key expires."""
    return int(jwt.decode(key.partition("_")[2], options={"verify_signature": False})["exp"])


@pytest.mark.parametrize("lifetime_seconds", [1, 900])
def test_a_key_outlives_its_execution_by_a_minute_at_most(lifetime_seconds: int) -> None:
    tokens = Tokens(SECRET, "minifn")
    for tenth in range(0, 1200, 7):
        moment = NOW + tenth / 10
        rest = ends(tokens.mint_key((), lifetime_seconds, moment)) - moment - lifetime_seconds
        assert KEY_GRACE_SECONDS - KEY_REUSE_SECONDS - 1 <= rest <= KEY_GRACE_SECONDS


def test_a_function_is_called_with_a_key_for_its_timeout() -> None:
    tokens = Tokens(SECRET, "minifn")
    function = Function(id="fn", name="fn", runtime="python-3.11", timeout_seconds=20)
    execution = Execution(id="execution", function_id="fn")
    request = FunctionCalls(tokens, ApiEndpoint(Config())).make(
        function, execution, ExecutionRequest()
    )
    assert ends(dict(request.headers)["x-appwrite-key"]) == ends(tokens.mint_key((), 20))
