"""The tables, as an ordered list of migrations.

The statements of a shipped migration never change: add another migration.
"""

MIGRATIONS = (
    """
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
    """,
    """
    -- Every domain of a function: first the functions' own domains, then those of rules.
    CREATE VIEW domains AS
    SELECT
        sequence - 1099511627776 AS sequence,
        id,
        created_at,
        created_at AS updated_at,
        lower(id) || '.' || (SELECT value FROM settings WHERE name = 'functions_domain') AS domain,
        id AS function_id,
        '' AS branch
    FROM functions
    UNION ALL
    SELECT sequence, id, created_at, updated_at, domain, function_id, branch FROM rules;
    """,
    """
    -- Usage of each function (its sequence) by hour since the epoch.
    CREATE TABLE usage (
        function INTEGER NOT NULL REFERENCES functions (sequence) ON DELETE CASCADE,
        hour INTEGER NOT NULL,
        executions INTEGER NOT NULL,
        executions_ms REAL NOT NULL,
        executions_mb_seconds REAL NOT NULL,
        builds_ready INTEGER NOT NULL,
        builds_failed INTEGER NOT NULL,
        builds_ms REAL NOT NULL,
        builds_mb_seconds REAL NOT NULL,
        PRIMARY KEY (function, hour)
    ) WITHOUT ROWID;
    """,
    """
    -- For the scheduler: it includes planned functions that have lost their deployment.
    CREATE INDEX functions_due ON functions (schedule_next) WHERE schedule_next > 0;
    """,
    """
    -- Deployments whose source is still to be fetched from a git repository.
    CREATE TABLE git_fetches (
        deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
        installation_id TEXT NOT NULL,
        repository TEXT NOT NULL,
        reference TEXT NOT NULL,
        folder TEXT NOT NULL,
        baseline INTEGER NOT NULL
    ) WITHOUT ROWID;

    -- Commits of a branch that were handled: each is deployed or skipped once.
    CREATE TABLE git_commits (
        sequence INTEGER PRIMARY KEY,
        function_id TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        branch TEXT NOT NULL,
        commit_hash TEXT NOT NULL,
        UNIQUE (function_id, branch, commit_hash)
    );
    """,
    """
    -- End of the session or function's JWT that asked for the execution; 0 = no end.
    ALTER TABLE execution_requests ADD COLUMN user_ends INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- Long bodies of execution_requests, whose own `body` is empty: a change of a row's state
    -- would write them again.
    CREATE TABLE execution_bodies (
        execution INTEGER PRIMARY KEY REFERENCES execution_requests (execution) ON DELETE CASCADE,
        body BLOB NOT NULL
    );
    """,
    """
    ALTER TABLE functions ADD COLUMN description TEXT NOT NULL DEFAULT '';
    ALTER TABLE functions ADD COLUMN interval_minutes INTEGER NOT NULL DEFAULT 0;
    DROP INDEX functions_scheduled;
    CREATE INDEX functions_scheduled ON functions (schedule_next)
        WHERE (schedule <> '' OR interval_minutes > 0) AND deployment_id <> '';
    -- Ids by their domain.
    CREATE INDEX functions_host ON functions (lower(id));
    ALTER TABLE variables ADD COLUMN description TEXT NOT NULL DEFAULT '';
    ALTER TABLE api_keys ADD COLUMN description TEXT NOT NULL DEFAULT '';

    -- Rules that redirect, and rules of the API, which belong to no function: function_id is ''.
    DROP VIEW domains;
    CREATE TABLE all_rules (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        domain TEXT NOT NULL UNIQUE,
        function_id TEXT NOT NULL,
        branch TEXT NOT NULL,
        type TEXT NOT NULL,
        redirect_url TEXT NOT NULL,
        redirect_status_code INTEGER NOT NULL
    );
    INSERT INTO all_rules
        SELECT
            sequence, id, created_at, updated_at, domain, function_id, branch,
            'deployment', '', 0
        FROM rules;
    DROP TABLE rules;
    ALTER TABLE all_rules RENAME TO rules;
    CREATE INDEX rules_function ON rules (function_id);
    -- Host names know no case. If the ids of functions differ only in case, the domain belongs to
    -- the id in lower case, else to the oldest function.
    CREATE VIEW domains AS
    SELECT
        sequence - 1099511627776 AS sequence,
        id,
        created_at,
        created_at AS updated_at,
        lower(id) || '.' || (SELECT value FROM settings WHERE name = 'functions_domain') AS domain,
        id AS function_id,
        '' AS branch,
        'deployment' AS type,
        '' AS redirect_url,
        0 AS redirect_status_code
    FROM functions
    WHERE id = lower(id) OR NOT EXISTS (
        SELECT 1 FROM functions AS other
        WHERE lower(other.id) = lower(functions.id)
        AND (other.id = lower(other.id) OR other.sequence < functions.sequence)
    )
    UNION ALL
    SELECT
        sequence, id, created_at, updated_at, domain, function_id, branch,
        type, redirect_url, redirect_status_code
    FROM rules;
    """,
    """
    -- Ends of answers, kept for clients of 0.x, whose only way to see an answer is the list.
    CREATE TABLE execution_answers (
        execution INTEGER PRIMARY KEY REFERENCES executions (sequence) ON DELETE CASCADE,
        answer TEXT NOT NULL
    );
    ALTER TABLE execution_requests ADD COLUMN keep_answer INTEGER NOT NULL DEFAULT 0;
    """,
    "ALTER TABLE deployments ADD COLUMN build_removed INTEGER NOT NULL DEFAULT 0;",
    """
    ALTER TABLE api_keys ADD COLUMN functions TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE functions ADD COLUMN reach TEXT NOT NULL DEFAULT '[]';
    """,
    # `late_indexes.py` tells of these tables. They are filled after the start.
    "\n".join(
        f"""
        DROP INDEX executions_{column};
        CREATE TABLE executions_by_{column} (
            function INTEGER NOT NULL,
            {column} {kind} NOT NULL,
            sequence INTEGER NOT NULL,
            PRIMARY KEY (function, {column}, sequence)
        ) WITHOUT ROWID;
        CREATE TRIGGER executions_{column}_deleted AFTER DELETE ON executions BEGIN
            DELETE FROM executions_by_{column} WHERE function = OLD.function
                AND {column} = OLD.{column} AND sequence = OLD.sequence;
        END;
        CREATE TRIGGER executions_{column}_updated AFTER UPDATE OF {column} ON executions BEGIN
            UPDATE executions_by_{column} SET {column} = NEW.{column}
                WHERE function = OLD.function
                AND {column} = OLD.{column} AND sequence = OLD.sequence;
        END;
        """
        for column, kind in (
            ("status", "TEXT"),
            ("trigger", "TEXT"),
            ("response_status_code", "INTEGER"),
            ("request_method", "TEXT"),
            ("request_path", "TEXT"),
            ("deployment_id", "TEXT"),
            ("duration_seconds", "REAL"),
            ("created_at", "INTEGER"),
            ("updated_at", "INTEGER"),
        )
    ),
    """
    ALTER TABLE usage ADD COLUMN executions_failed INTEGER NOT NULL DEFAULT 0;
    UPDATE usage SET executions_failed = failed.count FROM (
        SELECT function, updated_at / 3600000 AS hour, count(*) AS count FROM executions
        WHERE status = 'failed' AND sequence <= coalesce(
            (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'usage_counted'), 0)
        GROUP BY 1, 2
    ) AS failed WHERE usage.function = failed.function AND usage.hour = failed.hour;

    -- Executions that ended in the newest minutes, by minute since the epoch.
    CREATE TABLE usage_minutes (
        minute INTEGER NOT NULL,
        function INTEGER NOT NULL REFERENCES functions (sequence) ON DELETE CASCADE,
        executions INTEGER NOT NULL,
        executions_failed INTEGER NOT NULL,
        PRIMARY KEY (minute, function)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE api_keys ADD COLUMN accessed_at INTEGER NOT NULL DEFAULT 0;",
    """
    ALTER TABLE deployments ADD COLUMN build_identity TEXT NOT NULL DEFAULT '';
    ALTER TABLE deployments ADD COLUMN build_sha256 TEXT NOT NULL DEFAULT '';
    """,
)
