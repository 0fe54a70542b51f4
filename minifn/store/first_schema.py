"""The tables of the first release, as the first of the migrations."""

FIRST = """
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE functions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    name TEXT NOT NULL,
    runtime TEXT NOT NULL,
    execute TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    live INTEGER NOT NULL,
    logging INTEGER NOT NULL,
    deployment_id TEXT NOT NULL,
    deployment_created_at INTEGER NOT NULL,
    latest_deployment_id TEXT NOT NULL,
    latest_deployment_created_at INTEGER NOT NULL,
    latest_deployment_status TEXT NOT NULL,
    scopes TEXT NOT NULL,
    events TEXT NOT NULL,
    schedule TEXT NOT NULL,
    schedule_next INTEGER NOT NULL,
    schedule_previous INTEGER NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    entrypoint TEXT NOT NULL,
    commands TEXT NOT NULL,
    installation_id TEXT NOT NULL,
    provider_repository_id TEXT NOT NULL,
    provider_branch TEXT NOT NULL,
    provider_root_directory TEXT NOT NULL,
    provider_silent_mode INTEGER NOT NULL,
    provider_branches TEXT NOT NULL,
    provider_paths TEXT NOT NULL,
    build_specification TEXT NOT NULL,
    runtime_specification TEXT NOT NULL,
    deployment_retention_days INTEGER NOT NULL
);
CREATE INDEX functions_scheduled ON functions (schedule_next)
    WHERE schedule <> '' AND deployment_id <> '';

-- Functions whose executions are still to be deleted, in batches.
CREATE TABLE deleted_functions (sequence INTEGER PRIMARY KEY);

CREATE TABLE variables (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    function_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    secret INTEGER NOT NULL,
    UNIQUE (function_id, key)
);

CREATE TABLE deployments (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    function_id TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    entrypoint TEXT NOT NULL,
    commands TEXT NOT NULL,
    status TEXT NOT NULL,
    activate INTEGER NOT NULL,
    source_size_bytes INTEGER NOT NULL,
    build_size_bytes INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    build_started_at INTEGER NOT NULL,
    build_duration_seconds INTEGER NOT NULL,
    chunks_total INTEGER NOT NULL,
    chunks_uploaded INTEGER NOT NULL,
    provider_repository_name TEXT NOT NULL,
    provider_repository_owner TEXT NOT NULL,
    provider_repository_url TEXT NOT NULL,
    provider_branch TEXT NOT NULL,
    provider_branch_url TEXT NOT NULL,
    provider_commit_hash TEXT NOT NULL,
    provider_commit_author TEXT NOT NULL,
    provider_commit_author_url TEXT NOT NULL,
    provider_commit_message TEXT NOT NULL,
    provider_commit_url TEXT NOT NULL,
    -- The long column is last: the others are read without its overflow pages.
    build_logs TEXT NOT NULL
);
CREATE INDEX deployments_function ON deployments (function_id);
CREATE INDEX deployments_unfinished ON deployments (status)
    WHERE status IN ('waiting', 'processing', 'building');

CREATE TABLE deployment_chunks (
    deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    PRIMARY KEY (deployment_id, number)
) WITHOUT ROWID;

CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- functions.sequence: a new function with an old id must not inherit its executions.
    function INTEGER NOT NULL,
    function_id TEXT NOT NULL,
    deployment_id TEXT NOT NULL,
    trigger TEXT NOT NULL,
    status TEXT NOT NULL,
    user_id TEXT NOT NULL,
    request_method TEXT NOT NULL,
    request_path TEXT NOT NULL,
    request_headers TEXT NOT NULL,
    response_status_code INTEGER NOT NULL,
    response_headers TEXT NOT NULL,
    duration_seconds REAL NOT NULL,
    scheduled_at INTEGER NOT NULL,
    logs TEXT NOT NULL,
    errors TEXT NOT NULL
);
-- Each index begins with the function and ends, like every index, with the sequence: rows with
-- one value of its column are found in order of creation.
CREATE INDEX executions_function ON executions (function);
CREATE UNIQUE INDEX executions_id ON executions (function, id);
CREATE INDEX executions_status ON executions (function, status);
CREATE INDEX executions_trigger ON executions (function, trigger);
CREATE INDEX executions_response_status_code ON executions (function, response_status_code);
CREATE INDEX executions_request_method ON executions (function, request_method);
CREATE INDEX executions_request_path ON executions (function, request_path);
CREATE INDEX executions_deployment_id ON executions (function, deployment_id);
CREATE INDEX executions_duration_seconds ON executions (function, duration_seconds);
CREATE INDEX executions_created_at ON executions (function, created_at);
CREATE INDEX executions_updated_at ON executions (function, updated_at);
CREATE INDEX executions_user_id ON executions (function, user_id) WHERE user_id <> '';

-- The request of a queued execution; the row is deleted when the execution ends.
CREATE TABLE execution_requests (
    execution INTEGER PRIMARY KEY REFERENCES executions (sequence) ON DELETE CASCADE,
    function INTEGER NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    headers TEXT NOT NULL,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    client_ip TEXT NOT NULL,
    event TEXT NOT NULL,
    depth INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX execution_requests_waiting ON execution_requests (function)
    WHERE state = 'waiting';
CREATE INDEX execution_requests_scheduled ON execution_requests (due_at)
    WHERE state = 'scheduled';
CREATE INDEX execution_requests_processing ON execution_requests (state)
    WHERE state = 'processing';

CREATE TABLE api_keys (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    expire_at INTEGER NOT NULL
);

CREATE TABLE rules (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    domain TEXT NOT NULL UNIQUE,
    function_id TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
    branch TEXT NOT NULL
);
CREATE INDEX rules_function ON rules (function_id);
"""
