"""The records of minifn, frozen, in snake_case; `api/wire/` has the wire names.

Instants are integer milliseconds (see `instants`). `sequence` is the row's creation order.
"""

import enum
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from minifn.ids import reaches

#: `waiting` = queued; `processing` = claimed by the builder; `building` = its command runs; the
#: others are final.
DeploymentStatus = Literal["waiting", "processing", "building", "ready", "canceled", "failed"]
#: `scheduled` = waits for its instant; `waiting` = for a slot; `processing` = runs; the others are
#: final.
ExecutionStatus = Literal["waiting", "processing", "completed", "failed", "scheduled"]
Trigger = Literal["http", "schedule", "event"]
#: `folder` = a folder of this machine that is developed; it has no archive.
DeploymentType = Literal["manual", "cli", "vcs", "folder"]
RuleType = Literal["deployment", "redirect", "api"]
Headers = tuple[tuple[str, str], ...]

UNFINISHED_BUILD: frozenset[str] = frozenset({"waiting", "processing", "building"})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the database. `msgspec.structs.replace(record, **changes)` makes a changed copy."""

    id: str
    sequence: int = 0
    created_at: int = 0
    updated_at: int = 0


class Function(Record, frozen=True, kw_only=True):
    """A function: its settings and its active deployment."""

    name: str
    runtime: str
    description: str = ""
    execute: tuple[str, ...] = ()
    enabled: bool = True
    #: False when settings or variables changed since the active deployment was built.
    live: bool = True
    logging: bool = True
    #: The active deployment, "" for none.
    deployment_id: str = ""
    deployment_created_at: int = 0
    latest_deployment_id: str = ""
    latest_deployment_created_at: int = 0
    latest_deployment_status: str = ""
    scopes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    schedule: str = ""
    #: Minutes between runs, 0 for none. A function has a schedule, an interval or neither.
    interval_minutes: int = 0
    schedule_next: int = 0
    schedule_previous: int = 0
    timeout_seconds: int = 15
    entrypoint: str = ""
    commands: str = ""
    installation_id: str = ""
    provider_repository_id: str = ""
    provider_branch: str = ""
    provider_root_directory: str = ""
    provider_silent_mode: bool = False
    provider_branches: tuple[str, ...] = ()
    provider_paths: tuple[str, ...] = ()
    build_specification: str = ""
    runtime_specification: str = ""
    deployment_retention_days: int = 0
    #: The functions that its own key may touch (`ids.reaches`), () for all: the restrictions of
    #: the API keys that have changed it.
    reach: tuple[str, ...] = ()


class Deployment(Record, frozen=True, kw_only=True):
    """One upload of code, and its build."""

    function_id: str
    type: DeploymentType = "manual"
    entrypoint: str = ""
    commands: str = ""
    status: DeploymentStatus = "waiting"
    #: Whether it becomes the active deployment once ready.
    activate: bool = False
    source_size_bytes: int = 0
    build_size_bytes: int = 0
    #: "" until its build begins.
    build_id: str = ""
    build_logs: str = ""
    build_started_at: int = 0
    build_duration_seconds: int = 0
    chunks_total: int = 1
    chunks_uploaded: int = 1
    #: It was ready, and its build was removed since: it is built again before it becomes active.
    build_removed: bool = False
    #: The machine that its build belongs to (`builder.order.identity_of`); "" for one of an older
    #: minifn.
    build_identity: str = ""
    #: SHA-256 of its packed build, "" if it was not packed yet.
    build_sha256: str = ""
    provider_repository_name: str = ""
    provider_repository_owner: str = ""
    provider_repository_url: str = ""
    provider_branch: str = ""
    provider_branch_url: str = ""
    provider_commit_hash: str = ""
    provider_commit_author: str = ""
    provider_commit_author_url: str = ""
    provider_commit_message: str = ""
    provider_commit_url: str = ""

    @property
    def total_size_bytes(self) -> int:
        """Source and build together."""
        return self.source_size_bytes + self.build_size_bytes

    @property
    def uploaded(self) -> bool:
        """Whether every chunk of the archive has arrived."""
        return self.chunks_uploaded >= self.chunks_total


class Execution(Record, frozen=True, kw_only=True):
    """One run of a function, requested or finished."""

    function_id: str
    deployment_id: str = ""
    trigger: Trigger = "http"
    status: ExecutionStatus = "waiting"
    #: The user who requested it and may read it, "" for keys, guests, schedules and events.
    user_id: str = ""
    request_method: str = "POST"
    request_path: str = "/"
    #: The stored request headers, an allow-list.
    request_headers: Headers = ()
    response_status_code: int = 0
    #: Stored: only content-type and content-length. In the answer of a sync execution: all of them.
    response_headers: Headers = ()
    logs: str = ""
    errors: str = ""
    duration_seconds: float = 0.0
    scheduled_at: int = 0


class ExecutionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to a function. It is stored with a queued execution; the API never shows it."""

    method: str = "POST"
    path: str = "/"
    #: All headers, lower-case, without the x-appwrite-* headers that minifn adds.
    headers: Headers = ()
    body: bytes = b""
    user_id: str = ""
    #: The caller's session, for the user JWT of the function; "" for none.
    session_id: str = ""
    #: End of the caller's credentials, seconds since the epoch; the function's user JWT ends no
    #: later. 0 = no such limit.
    user_ends: int = 0
    client_ip: str = ""
    #: The most specific event name, "" unless the trigger is `event`.
    event: str = ""
    #: Length of the chain of events that led to this execution.
    depth: int = 0
    #: Whether the end of the answer is stored, for clients of 0.x.
    keep_answer: bool = False


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished execution, with the parts of its answer that are not stored."""

    execution: Execution
    body: bytes = b""
    #: Every header of the answer, lower-case.
    headers: Headers = ()

    @property
    def status(self) -> int:
        """The status code of the answer."""
        return self.execution.response_status_code

    @property
    def text(self) -> str:
        """The body as UTF-8, with a replacement for each wrong byte."""
        return self.body.decode(errors="replace")

    @property
    def logs(self) -> str:
        """The lines that the function logged."""
        return self.execution.logs

    @property
    def errors(self) -> str:
        """The errors that the function logged, and the reason of its failure."""
        return self.execution.errors

    def json(self) -> Any:
        """Return the body parsed as JSON. Raises ValueError."""
        return msgspec.json.decode(self.body)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A function with its active deployment (without build logs) and variables, for executions."""

    function: Function
    deployment: Deployment | None
    #: The project's variables, overridden by the function's.
    variables: Mapping[str, str]


class Variable(Record, frozen=True, kw_only=True):
    """An environment variable of a function, or of the whole project when `function_id` is ""."""

    function_id: str
    key: str
    value: str
    secret: bool = False
    description: str = ""


class ApiKey(Record, frozen=True, kw_only=True):
    """An API key; only the SHA-256 of its secret is stored."""

    name: str
    secret_hash: str
    scopes: tuple[str, ...]
    #: 0 = never.
    expire_at: int = 0
    description: str = ""
    #: The functions that it may touch: ids, and beginnings of ids with a `*`; () for all.
    functions: tuple[str, ...] = ()
    #: When it was used last, within a minute; 0 = never.
    accessed_at: int = 0


class Rule(Record, frozen=True, kw_only=True):
    """A domain, and its target: a function, the API, or a redirect to another address."""

    domain: str
    #: The function that answers, or to which a redirect belongs; "" for the API.
    function_id: str = ""
    branch: str = ""
    type: RuleType = "deployment"
    redirect_url: str = ""
    redirect_status_code: int = 0

    @property
    def own(self) -> bool:
        """Whether this is the domain that a function has by its id."""
        return self.id == self.function_id


class CallerKind(enum.Enum):
    """The kind of a request's sender."""

    KEY = "key"
    USER = "user"
    GUEST = "guest"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The sender of a request, and its rights."""

    kind: CallerKind
    #: Empty for keys, which are not checked against execute roles.
    roles: frozenset[str] = frozenset()
    #: None = every scope (the admin key).
    scopes: frozenset[str] | None = frozenset()
    user_id: str = ""
    session_id: str = ""
    #: End of a session, or of a JWT minted for a function, seconds since the epoch; otherwise 0.
    ends: int = 0
    #: The e-mail address of an operator who signed in with the admin key, "" for other callers.
    operator: str = ""
    #: Length of the chain of events that led to the calling function.
    depth: int = 0
    #: The functions that a key may touch (`ids.reaches`); () for all, and for other callers.
    reach: tuple[str, ...] = ()

    def may_touch(self, function_id: str) -> bool:
        """Tell whether the caller's key is not restricted to other functions."""
        return not self.reach or reaches(self.reach, function_id)

    @property
    def privileged(self) -> bool:
        """Whether this is an API key or the administrator."""
        return self.kind is CallerKind.KEY


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """A size of a function: its CPUs and its memory."""

    slug: str
    cpus: float
    memory_mb: int


#: Appwrite's nine sizes, smallest first (contract section k).
SPECIFICATIONS: tuple[Specification, ...] = tuple(
    Specification(slug=slug, cpus=cpus, memory_mb=memory_mb)
    for slug, cpus, memory_mb in (
        ("s-0.5vcpu-512mb", 0.5, 512),
        ("s-1vcpu-512mb", 1, 512),
        ("s-1vcpu-1gb", 1, 1024),
        ("s-2vcpu-2gb", 2, 2048),
        ("s-2vcpu-4gb", 2, 4096),
        ("s-4vcpu-4gb", 4, 4096),
        ("s-4vcpu-8gb", 4, 8192),
        ("s-8vcpu-4gb", 8, 4096),
        ("s-8vcpu-8gb", 8, 8192),
    )
)
DEFAULT_SPECIFICATION = "s-1vcpu-512mb"
#: The newest version of Appwrite's API that minifn implements.
APPWRITE_VERSION = "1.9.6"
_BY_SLUG = {size.slug: size for size in SPECIFICATIONS}


def specification(slug: str) -> Specification:
    """Return the specification of a slug, the default one for a slug that is not offered."""
    return _BY_SLUG.get(slug, _BY_SLUG[DEFAULT_SPECIFICATION])
