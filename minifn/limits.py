"""Public limits: the ceilings that callers meet."""

#: Characters kept of `logs`, of `errors` and of `buildLogs` (contract section f, "Log limits").
LOG_LIMIT_CHARS = 1_000_000
#: Bytes of one upload chunk, the same in every SDK.
CHUNK_BYTES = 5 * 1024 * 1024
#: Bytes of a request's body to a function, and of the answer's body.
BODY_LIMIT_BYTES = 20 * 1024 * 1024
#: Bytes of request bodies in memory at once.
BODIES_BYTES_MAX = 512 * 1024 * 1024
#: Bytes of long answers in memory that their callers have not taken yet.
ANSWERS_BYTES_MAX = 512 * 1024 * 1024
#: Deployment archives that are uploaded at once.
UPLOADS_MAX = 64
#: Requests of git that are served at once.
GIT_REQUESTS_MAX = 64
