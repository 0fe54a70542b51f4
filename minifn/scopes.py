"""Scopes: the rights of API keys, and of the keys that functions get for an execution."""

#: Resources with a scope to read them and one to write them.
_RESOURCES = """
    analytics apps archives attributes avatars backups.policies buckets collections columns
    databases documents documentsdb documentsdb.collections documentsdb.documents
    documentsdb.indexes domains execution executions files functions indexes insights keys
    log messages migrations mocks oauth2 platforms policies presences project project.oauth2
    project.policies providers reports restorations rows rules schedules sessions sites
    stages subscribers tables targets teams templates tokens topics users vcs vectorsdb
    vectorsdb.collections vectorsdb.documents vectorsdb.indexes wafRules webhooks
"""
_READ_ONLY = "assistant events health locale usage"
_WRITE_ONLY = "embeddings proxy.invalidations events"
_OTHERS = ("dedicatedDatabases.execute", "oauth2.introspect")

#: Every scope that a key or a function may hold: those of Appwrite 1.9.6 and of its newest SDKs
#: (`ProjectKeyScopes` of Python 27.0.0 and node 27.1.0), and minifn's own `events.write`. A scope
#: of a service that minifn lacks gives no right.
SCOPES: frozenset[str] = frozenset(
    {f"{name}.{right}" for name in _RESOURCES.split() for right in ("read", "write")}
    | {f"{name}.read" for name in _READ_ONLY.split()}
    | {f"{name}.write" for name in _WRITE_ONLY.split()}
    | set(_OTHERS)
)
#: Most scopes of a key or a function.
SCOPES_MAX = 200


def nearest(scope: str) -> str:
    """Return the known scope that is spelled most like `scope`, "" when none is similar."""
    # A server needs it for a mistyped scope alone.
    import difflib

    return next(iter(difflib.get_close_matches(scope, sorted(SCOPES), n=1)), "")
