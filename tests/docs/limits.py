"""The page of limits, with the numbers taken from the constants that enforce them."""

from minifn.api import broadcast, realtime, subscriptions
from minifn.api.access.callers import SESSION_SECONDS
from minifn.api.access.operators import FAILURES_MAX
from minifn.api.operations import execution_access, executions_v0
from minifn.archive import unpack_main
from minifn.builder import build, packed, publish, toolchains
from minifn.git import fetcher
from minifn.host import space
from minifn.limits import (
    ANSWERS_BYTES_MAX,
    BODIES_BYTES_MAX,
    BODY_LIMIT_BYTES,
    CHUNK_BYTES,
    EVENTS_BYTES_MAX,
    FORM_PARTS_MAX,
    GIT_REQUESTS_MAX,
    HEADERS_CHARS_MAX,
    HEADERS_JSON_CHARS_MAX,
    HEADERS_MAX,
    JSON_TOKENS_MAX,
    LIST_SECONDS_MAX,
    LOG_LIMIT_CHARS,
    PAGE_CHARS_MAX,
    PARAM_LEVELS_MAX,
    PARAM_NAME_CHARS_MAX,
    QUERIES_MAX,
    QUERY_CHARS_MAX,
    QUERY_LEVELS_MAX,
    QUERY_VALUES_MAX,
    STREAMS_MAX,
    UPLOAD_FIELDS_BYTES_MAX,
    UPLOAD_PAUSE_SECONDS_MAX,
    UPLOADS_MAX,
    URLENCODED_BYTES_MAX,
    URLENCODED_PAIRS_MAX,
)
from minifn.server import connections
from minifn.services import events, queue_limits, retention
from minifn.store import plans
from minifn.workers import pool, protocol, records, specs

PAGE = """\
# Limits

The [settings](settings.md) change some limits; the others are fixed.

## Overload

At these limits the server refuses new work at once with 503, `general_service_overloaded` and `Retry-After`. A refused
request has not run.

{overload}
One case differs: when the answer of a finished operation does not fit into memory, the 503 says that it was done.

## One function

{function}
The error names the limit that ended a function. Where the server has a control group of its own, memory, processes
and CPU are enforced exactly; [Production](production.md#control-groups) shows how. Elsewhere resource limits and a
watchdog enforce them, within a second.

## One request

{request}
## Deployments

{deployment}
## Realtime

{realtime}
## Kept data

{kept}"""


def limits() -> str:
    """Return the page of limits."""
    share = f"1/{queue_limits.SHARES}"
    return PAGE.format(
        overload=table(
            (
                "calls that wait for a worker",
                f"{pool.WAITING_MAX:,}, and {pool.DEPLOYMENT_WAITING_MAX:,} of one function",
            ),
            (
                "waiting executions",
                f"`MINIFN_QUEUE_LIMIT`, {share} of it by one function; as many may be scheduled for later",
            ),
            (
                "bodies of queued executions",
                f"`MINIFN_QUEUE_BYTES`, {share} of it by one function; scheduled ones may use half of it",
            ),
            (
                "request bodies in memory",
                f"{size(BODIES_BYTES_MAX)}, or a quarter of the memory limit if that is less",
            ),
            (
                "answers waiting for slow clients",
                f"{size(ANSWERS_BYTES_MAX)}, or a quarter of the memory limit if that is less",
            ),
            ("uploads at once", f"{UPLOADS_MAX}"),
            ("git requests at once", f"{GIT_REQUESTS_MAX}"),
            ("readers of live logs and build logs", f"{STREAMS_MAX}"),
            (
                "events that wait for all of them",
                f"{size(EVENTS_BYTES_MAX)}, or an eighth of the memory limit if that is less",
            ),
            (
                "connections",
                f"{connections.CONNECTIONS_MAX:,}, or half of the server's open files; half of them WebSockets",
            ),
        ),
        function=table(
            ("time", "the function's `timeout`, at most `MINIFN_TIMEOUT_MAX` seconds"),
            ("time of a synchronous execution", "also `MINIFN_SYNC_TIMEOUT` seconds"),
            ("memory and CPU", "the function's [specification](runtimes.md#specifications)"),
            ("processes and threads of a worker", f"{specs.WORKER_PROCESSES}"),
            ("workers of one function", "`MINIFN_FUNCTION_WORKERS`"),
            (
                "temporary files of a worker",
                "`MINIFN_TMP` MB, or an eighth of a disk of less than 4 GB",
            ),
            ("open files of a worker", f"{specs.WORKER_FILES:,}"),
            ("request body, answer body", size(BODY_LIMIT_BYTES)),
            (
                "headers of an answer",
                f"{protocol.HEADERS_MAX:,}; of Python 128 KiB together, of Node.js 512 KiB",
            ),
            ("kept of `logs`, and of `errors`", f"the last {LOG_LIMIT_CHARS:,} characters"),
            ("read of one stream of one execution", size(records.LOG_LIMIT_BYTES)),
            ("logs of one worker in memory", size(records.CALLS_LOG_BYTES)),
            (
                "output that ends a worker",
                f"{size(records.FLOOD_LIMIT_BYTES)} for one execution, or within {records.FLOOD_SECONDS:g} seconds",
            ),
            ("length of a chain of events", f"{events.DEPTH_MAX} executions; the next one fails"),
        ),
        request=table(
            ("body through `/executions`", f"{execution_access.BODY_MAX_CHARS:,} characters"),
            ("headers", f"{connections.HEADERS_MAX}, together {size(connections.HEAD_BYTES_MAX)}"),
            (
                "headers of an execution",
                f"{HEADERS_MAX}, together less than {HEADERS_CHARS_MAX:,} characters, and {HEADERS_JSON_CHARS_MAX:,} as JSON",
            ),
            ("urlencoded body", size(URLENCODED_BYTES_MAX)),
            ("parameters of an urlencoded body or query string", f"{URLENCODED_PAIRS_MAX:,}"),
            (
                "name of such a parameter",
                f"{PARAM_NAME_CHARS_MAX:,} characters, {PARAM_LEVELS_MAX} levels of brackets",
            ),
            ("parts of a multipart body", f"{FORM_PARTS_MAX}"),
            ("fields of an upload beside its file", size(UPLOAD_FIELDS_BYTES_MAX)),
            ("commas, brackets and texts of JSON", f"{JSON_TOKENS_MAX:,}"),
            ("requests sent ahead of their answers", f"{connections.PIPELINE_MAX}"),
            (
                "slow clients",
                f"closed after {connections.SILENCE_SECONDS:g} seconds of silence, or below "
                f"{connections.BYTES_PER_SECOND_MIN:,} bytes a second",
            ),
            (
                "`queries` of a list",
                f"{QUERIES_MAX}, each of {QUERY_CHARS_MAX:,} characters and "
                f"{QUERY_VALUES_MAX} values; `and` and `or` nest {QUERY_LEVELS_MAX} deep",
            ),
            (
                "a list",
                f"{LIST_SECONDS_MAX:g} seconds, {PAGE_CHARS_MAX:,} characters a page; "
                f"`total` stops at {plans.TOTAL_MAX:,}",
            ),
            (
                "executions by clients of 0.x",
                f"{executions_v0.RATE_LIMIT} a minute from one address",
            ),
            ("wrong passwords", f"{FAILURES_MAX} a minute from one address"),
        ),
        deployment=table(
            ("archive", "`MINIFN_UPLOAD_LIMIT` bytes"),
            (
                "chunk of an upload",
                f"{size(CHUNK_BYTES)}; an unfinished upload is deleted after "
                f"{UPLOAD_PAUSE_SECONDS_MAX // 3600} hours without one",
            ),
            (
                "files and directories in an archive",
                f"{unpack_main.MEMBERS_MAX:,}, {unpack_main.LEVELS_MAX} levels deep",
            ),
            (
                "unpacked archive",
                f"{unpack_main.UNPACKED_BYTES_MAX // 10**6} MB, or ten times the archive if that is more",
            ),
            (
                "build, and its cache and temporary files",
                f"`MINIFN_BUILD_LIMIT` bytes and {publish.OUTPUT_FILES_MAX:,} files each, "
                f"{space.LEVELS_MAX} levels deep",
            ),
            ("time of a build", "`MINIFN_BUILD_TIMEOUT` seconds"),
            (
                "files that functions of a toolchain share",
                f"{toolchains.CACHE_BYTES_MAX // 10**9} GB each; made within "
                f"{toolchains.MAKE_SECONDS:.0f} seconds, in {toolchains.MEMORY_MB // 1024} GiB of memory",
            ),
            ("memory of a build", f"at least {build.MEMORY_BYTES_MIN // 2**30} GiB"),
            ("build log", f"the last {LOG_LIMIT_CHARS:,} characters"),
            ("pushed repository", f"{fetcher.REPOSITORY_FACTOR} times `MINIFN_UPLOAD_LIMIT`"),
            (
                "free disk that a build needs",
                f"{space.FREE_BYTES_FLOOR // 10**9} GB, or {space.FREE_SHARE_FLOOR:.0%} of a smaller disk",
            ),
        ),
        realtime=table(
            ("subscriptions of a connection", f"{subscriptions.SUBSCRIPTIONS_MAX}"),
            (
                "channels of a connection",
                f"{subscriptions.CHANNELS_TOTAL_MAX:,}, {subscriptions.CHANNELS_MAX} of one subscription",
            ),
            (
                "messages a client may lag behind",
                f"{broadcast.WAITING_MESSAGES_MAX:,}, or {size(broadcast.WAITING_BYTES_MAX)}; then it is closed with "
                f"{realtime.TRY_AGAIN_LATER}",
            ),
        ),
        kept=table(
            (
                "executions",
                "`MINIFN_RETENTION_DAYS` days, and the `MINIFN_RETENTION_COUNT` newest of each function",
            ),
            ("inactive deployments", "the function's `deploymentRetention` days"),
            ("inactive builds", "the `MINIFN_BUILDS_KEPT` newest of each function"),
            (
                "build caches",
                f"{retention.CACHES_BYTES_MAX // 10**9} GB together; one of more than "
                f"{build.CACHE_BYTES_MAX // 10**9} GB is not kept",
            ),
            (
                "packed builds",
                f"{packed.PACKED_BYTES_MAX // 10**9} GB together; those used longest ago are packed again when needed",
            ),
            ("anonymous sessions", f"{SESSION_SECONDS // 86_400} days"),
        ),
    )


def table(*lines: tuple[str, str]) -> str:
    """Return a Markdown table of two columns."""
    return "| subject | limit |\n|---|---|\n" + "".join(
        f"| {name} | {limit} |\n" for name, limit in lines
    )


def size(count: int) -> str:
    """Return bytes in a unit."""
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"
