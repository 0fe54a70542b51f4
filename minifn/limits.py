"""Public limits: the ceilings that callers meet."""

#: Characters kept of `logs`, of `errors` and of `buildLogs` (contract section f, "Log limits").
LOG_LIMIT_CHARS = 1_000_000
#: Bytes of one upload chunk, the same in every SDK.
CHUNK_BYTES = 5 * 1024 * 1024
#: Bytes of a request's body to a function, and of the answer's body.
BODY_LIMIT_BYTES = 20 * 1024 * 1024
