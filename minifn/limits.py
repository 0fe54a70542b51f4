"""Public limits of requests, answers and logs."""

#: Most characters kept of `logs`, of `errors` and of `buildLogs` (contract section f, "Log
#: limits").
LOG_LIMIT_CHARS = 1_000_000
#: Bytes of an upload chunk, the same in every SDK.
CHUNK_BYTES = 5 * 1024 * 1024
#: Most bytes of the body of a request to a function, and of its answer.
BODY_LIMIT_BYTES = 20 * 1024 * 1024
#: Most bytes of request bodies in memory at once.
BODIES_BYTES_MAX = 512 * 1024 * 1024
#: Most bytes of long answers in memory that their callers have not read yet.
ANSWERS_BYTES_MAX = 512 * 1024 * 1024
#: Most deployment archives that are uploaded at once.
UPLOADS_MAX = 64
#: Most requests of git clients that are served at once.
GIT_REQUESTS_MAX = 64
