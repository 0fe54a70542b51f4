"""The services of Appwrite beside Functions; the error of an unknown path names the missing one."""

from minifn.errors import RouteNotFound

#: First part of a path -> Appwrite's name of the service. minifn has nothing of them.
ABSENT = {
    "activities": "Activities",
    "advisor": "Advisor",
    "apps": "Apps",
    "assistant": "Assistant",
    "avatars": "Avatars",
    "backups": "Backups",
    "databases": "Databases",
    "documentsdb": "DocumentsDB",
    "domains": "Domains",
    "embeddings": "Embeddings",
    "graphql": "GraphQL",
    "locale": "Locale",
    "messaging": "Messaging",
    "migrations": "Migrations",
    "oauth2": "OAuth2",
    "organization": "Organization",
    "organizations": "Organizations",
    "presences": "Presences",
    "sites": "Sites",
    "storage": "Storage",
    "tablesdb": "TablesDB",
    "tokens": "Tokens",
    "vectorsdb": "VectorsDB",
    "webhooks": "Webhooks",
}
#: The same for services of which minifn has some operations.
PARTIAL = {
    "account": "Account",
    "console": "Console",
    "health": "Health",
    "project": "Project",
    "projects": "Projects",
    "proxy": "Proxy",
    "teams": "Teams",
    "users": "Users",
    "vcs": "VCS",
}
_ADVICE = "minifn is Appwrite Functions without the rest of Appwrite: see /docs/differences."


def route_not_found(path: str) -> RouteNotFound:
    """Return the error for an unknown path of the server; it names a service that is missing."""
    parts = path.split("/")
    service = parts[2] if parts[:2] == ["", "v1"] and len(parts) > 2 else ""
    if service in ABSENT:
        return RouteNotFound(f"This server has no service {ABSENT[service]}. {_ADVICE}")
    if service in PARTIAL:
        return RouteNotFound(
            f"This server has no such operation of the service {PARTIAL[service]}. {_ADVICE}"
        )
    return RouteNotFound()
