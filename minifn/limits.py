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
#: Most readers of live logs and build logs.
STREAMS_MAX = 256
#: Most bytes of events that wait for all of them; a reader beyond it that is behind is cut.
EVENTS_BYTES_MAX = 64 * 1024 * 1024
#: Queries of one list.
QUERIES_MAX = 100
#: Characters of one query.
QUERY_CHARS_MAX = 4096
#: Values of one query.
QUERY_VALUES_MAX = 500
#: Levels of `and` and `or` in a query.
QUERY_LEVELS_MAX = 3
#: Characters of all rows of a page: more than 25 executions with the longest logs and errors.
PAGE_CHARS_MAX = 64 * 1024 * 1024
#: Seconds that the reading of a list may take.
LIST_SECONDS_MAX = 10.0
#: Seconds that an upload may pause between two chunks.
UPLOAD_PAUSE_SECONDS_MAX = 86_400
#: Bytes of an urlencoded body.
URLENCODED_BYTES_MAX = 1024 * 1024
#: Params of a query string or urlencoded body.
URLENCODED_PAIRS_MAX = 1000
#: Commas, brackets and texts in a JSON body: each takes many times its length in memory.
JSON_TOKENS_MAX = 200_000
#: Parts of a multipart body.
FORM_PARTS_MAX = 200
#: Bytes of an upload's parts that are not files.
UPLOAD_FIELDS_BYTES_MAX = 1024 * 1024
#: Characters of a parameter's name in a query string or form.
PARAM_NAME_CHARS_MAX = 1024
#: Levels of brackets in a parameter's name.
PARAM_LEVELS_MAX = 4
#: Headers of an execution's request.
HEADERS_MAX = 100
#: Characters of an execution's headers, names and values together.
HEADERS_CHARS_MAX = 16_384
#: Characters of an execution's headers as a JSON text.
HEADERS_JSON_CHARS_MAX = 65_535
