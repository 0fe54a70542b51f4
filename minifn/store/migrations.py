"""The tables, as an ordered list of migrations.

The statements of a shipped migration never change: add another migration.
"""

from minifn.store.first_schema import FIRST

#: Columns that the executions of a kind have in common.
_OF_KINDS = ("status", "trigger", "request_method", "response_status_code", "deployment_id")

#: Columns by which the executions of a kind are ordered.
_ORDERED = {"request_path": "TEXT", "duration_seconds": "REAL"}


def _kind_of(row: str) -> str:
    """Return the SQL of the kind of a trigger's row, OLD or NEW."""
    same = " AND ".join(f"{column} = {row}.{column}" for column in ("function", *_OF_KINDS))
    return f"(SELECT kind FROM executions_kinds WHERE {same})"


def _for_ordered(statement: str) -> str:
    """Return a trigger's statement for each column of _ORDERED: {0} is the column, {1} the
    condition of the old row of its index, {2} the new kind.
    """
    old = f"kind = {_kind_of('OLD')} AND {{0}} = OLD.{{0}} AND sequence = OLD.sequence"
    return "\n".join(
        statement.format(column, old.format(column), _kind_of("NEW")) for column in _ORDERED
    )


MIGRATIONS = (
    FIRST,
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
    DROP INDEX executions_function;
    CREATE TABLE executions_by_function (
        function INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (function, sequence)
    ) WITHOUT ROWID;
    CREATE TRIGGER executions_function_deleted AFTER DELETE ON executions BEGIN
        DELETE FROM executions_by_function WHERE function = OLD.function
            AND sequence = OLD.sequence;
    END;

    -- `blocks.py` tells of this table.
    CREATE TABLE executions_blocks (
        first INTEGER NOT NULL,
        last INTEGER PRIMARY KEY,
        id_min TEXT NOT NULL,
        id_max TEXT NOT NULL,
        created_at_min INTEGER NOT NULL,
        created_at_max INTEGER NOT NULL,
        updated_at_min INTEGER NOT NULL,
        updated_at_max INTEGER NOT NULL
    );
    CREATE TRIGGER executions_blocks_updated
    AFTER UPDATE OF updated_at ON executions BEGIN
        UPDATE executions_blocks SET
            updated_at_min = min(updated_at_min, NEW.updated_at),
            updated_at_max = max(updated_at_max, NEW.updated_at)
        WHERE last = (SELECT min(last) FROM executions_blocks WHERE last >= NEW.sequence);
    END;

    -- Both are filled after the start.
    INSERT INTO settings SELECT 'executions_by_function', '0' FROM settings
        WHERE name = 'executions_indexed';
    """,
    """
    ALTER TABLE deployments ADD COLUMN build_identity TEXT NOT NULL DEFAULT '';
    ALTER TABLE deployments ADD COLUMN build_sha256 TEXT NOT NULL DEFAULT '';
    """,
    """
    -- Each late index has a mark of its own, with its name.
    INSERT OR IGNORE INTO settings SELECT tables.name, marks.value
        FROM settings AS marks JOIN sqlite_master AS tables
        WHERE marks.name = 'executions_indexed'
        AND tables.type = 'table' AND tables.name LIKE 'executions_by_%';
    DELETE FROM settings WHERE name = 'executions_indexed';
    """,
    # `kinds.py` tells of these tables, which are filled after the start.
    "\n".join(
        f"""
        DROP TRIGGER executions_{column}_deleted;
        DROP TRIGGER executions_{column}_updated;
        DROP TABLE executions_by_{column};
        DELETE FROM settings WHERE name = 'executions_by_{column}';
        """
        for column in _OF_KINDS
    )
    + f"""
    CREATE TABLE executions_kinds (
        kind INTEGER PRIMARY KEY,
        function INTEGER NOT NULL,
        status TEXT NOT NULL,
        trigger TEXT NOT NULL,
        request_method TEXT NOT NULL,
        response_status_code INTEGER NOT NULL,
        deployment_id TEXT NOT NULL,
        UNIQUE (function, {", ".join(_OF_KINDS)})
    );
    CREATE TABLE executions_by_kind (
        kind INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (kind, sequence)
    ) WITHOUT ROWID;
    CREATE TRIGGER executions_kind_deleted AFTER DELETE ON executions BEGIN
        DELETE FROM executions_by_kind
            WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence;
    END;
    CREATE TRIGGER executions_kind_updated AFTER UPDATE OF {", ".join(_OF_KINDS)} ON executions
    WHEN EXISTS (
        SELECT 1 FROM executions_by_kind
        WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence
    )
    BEGIN
        INSERT OR IGNORE INTO executions_kinds (function, {", ".join(_OF_KINDS)})
            VALUES (OLD.function, {", ".join(f"NEW.{column}" for column in _OF_KINDS)});
        UPDATE executions_by_kind SET kind = {_kind_of("NEW")}
            WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence;
    END;
    -- A kind ends with its last row.
    CREATE TRIGGER executions_by_kind_deleted AFTER DELETE ON executions_by_kind
    WHEN NOT EXISTS (SELECT 1 FROM executions_by_kind WHERE kind = OLD.kind)
    BEGIN
        DELETE FROM executions_kinds WHERE kind = OLD.kind;
    END;
    CREATE TRIGGER executions_by_kind_updated AFTER UPDATE OF kind ON executions_by_kind
    WHEN NOT EXISTS (SELECT 1 FROM executions_by_kind WHERE kind = OLD.kind)
    BEGIN
        DELETE FROM executions_kinds WHERE kind = OLD.kind;
    END;
    """,
    # Late indexes of many values begin with the kind, too. They are filled after the start.
    "\n".join(
        f"""
        DROP TRIGGER executions_{column}_deleted;
        DROP TRIGGER executions_{column}_updated;
        DROP TABLE executions_by_{column};
        DELETE FROM settings WHERE name = 'executions_by_{column}';
        CREATE TABLE executions_by_{column} (
            kind INTEGER NOT NULL,
            {column} {type_of} NOT NULL,
            sequence INTEGER NOT NULL,
            PRIMARY KEY (kind, {column}, sequence)
        ) WITHOUT ROWID;
        """
        for column, type_of in _ORDERED.items()
    )
    + f"""
    DROP TRIGGER executions_kind_deleted;
    DROP TRIGGER executions_kind_updated;
    -- A kind ends with its last row of executions_by_kind, which goes last.
    CREATE TRIGGER executions_kind_deleted AFTER DELETE ON executions BEGIN
        {_for_ordered("DELETE FROM executions_by_{0} WHERE {1};")}
        DELETE FROM executions_by_kind
            WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence;
    END;
    CREATE TRIGGER executions_kind_updated
    AFTER UPDATE OF {", ".join((*_OF_KINDS, *_ORDERED))} ON executions
    WHEN EXISTS (
        SELECT 1 FROM executions_by_kind
        WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence
    )
    BEGIN
        INSERT OR IGNORE INTO executions_kinds (function, {", ".join(_OF_KINDS)})
            VALUES (OLD.function, {", ".join(f"NEW.{column}" for column in _OF_KINDS)});
        {_for_ordered("UPDATE executions_by_{0} SET kind = {2}, {0} = NEW.{0} WHERE {1};")}
        UPDATE executions_by_kind SET kind = {_kind_of("NEW")}
            WHERE kind = {_kind_of("OLD")} AND sequence = OLD.sequence;
    END;

    -- Of the blocks that are there the durations are not known.
    ALTER TABLE executions_blocks ADD COLUMN duration_seconds_min REAL NOT NULL DEFAULT 0;
    ALTER TABLE executions_blocks ADD COLUMN duration_seconds_max REAL NOT NULL DEFAULT 1e12;
    DROP TRIGGER executions_blocks_updated;
    CREATE TRIGGER executions_blocks_updated
    AFTER UPDATE OF updated_at, duration_seconds ON executions BEGIN
        UPDATE executions_blocks SET
            updated_at_min = min(updated_at_min, NEW.updated_at),
            updated_at_max = max(updated_at_max, NEW.updated_at),
            duration_seconds_min = min(duration_seconds_min, NEW.duration_seconds),
            duration_seconds_max = max(duration_seconds_max, NEW.duration_seconds)
        WHERE last = (SELECT min(last) FROM executions_blocks WHERE last >= NEW.sequence);
    END;
    """,
    """
    -- `paths.py` tells of this table. It is filled after the start, with the index of paths.
    CREATE TABLE executions_paths (
        function INTEGER NOT NULL REFERENCES functions (sequence) ON DELETE CASCADE,
        request_path TEXT NOT NULL,
        PRIMARY KEY (function, request_path)
    ) WITHOUT ROWID;
    CREATE TRIGGER executions_paths_updated AFTER UPDATE OF request_path ON executions BEGIN
        INSERT OR IGNORE INTO executions_paths VALUES (NEW.function, NEW.request_path);
    END;
    DELETE FROM executions_by_request_path;
    DELETE FROM settings WHERE name = 'executions_by_request_path';
    """,
)
