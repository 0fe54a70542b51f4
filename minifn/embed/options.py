"""The keywords of `Minifn.deploy` and `Minifn.execute`, typed for editors and mypy."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class FunctionOptions(TypedDict, total=False):
    """Settings of a function, those of the API in snake_case; the API's rules apply to them."""

    name: str
    #: A runtime such as `python-3.12`, or a family such as `python` for its newest here.
    runtime: str
    execute: Sequence[str]
    events: Sequence[str]
    schedule: str
    #: Minutes between runs; 0 for none.
    interval: int
    #: Seconds.
    timeout: int
    enabled: bool
    logging: bool
    entrypoint: str
    commands: str
    scopes: Sequence[str]
    #: Both of the next two.
    specification: str
    build_specification: str
    runtime_specification: str
    #: Days.
    deployment_retention: int
    description: str
    email_enabled: bool
    installation_id: str
    provider_repository_id: str
    provider_branch: str
    provider_silent_mode: bool
    provider_root_directory: str
    provider_branches: Sequence[str]
    provider_paths: Sequence[str]


class CallOptions(TypedDict, total=False):
    """A request to a function, without its body."""

    #: A value to send as JSON instead of a body; None for none.
    json: Any
    path: str
    method: str
    headers: Mapping[str, str] | None
    #: The user in whose name the function runs; it may be any user.
    user_id: str


class RequestOptions(CallOptions, total=False):
    """A request to a function."""

    body: str | bytes
