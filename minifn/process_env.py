"""The environment of a function's build and of its workers, with Appwrite's names.

It inherits nothing. Later groups win: the project's variables, the function's, the system's.
"""

from collections.abc import Iterable

from minifn.models import APPWRITE_VERSION, Deployment, Function, Variable, specification

#: First uid, and number of uids, that functions run as when the server is root.
UID_BASE = 20_001
UID_COUNT = 40_000
#: Uid of the commands that make files for a whole machine; no function has it.
TOOLCHAIN_UID = 19_999
#: Paths in a sandbox of a function's code, of its language's wrapper, of code that languages share,
#: and of files made once for the machine.
CODE = "/fn"
WRAPPER = "/runtime"
COMMON = "/common"
SHARED = "/shared"


def function_uid(function: Function) -> int:
    """Return the uid of a function's processes; only a root server uses it."""
    return UID_BASE + function.sequence % UID_COUNT


def merge_variables(variables: Iterable[Variable]) -> dict[str, str]:
    """Return name -> value; a function's variable overrides the project's of the same name."""
    ordered = sorted(variables, key=lambda variable: variable.function_id != "")
    return {variable.key: variable.value for variable in ordered}


def can_be_set(name: str, value: str) -> bool:
    """Tell whether an operating system accepts the variable: Appwrite allows more names."""
    return bool(name) and "=" not in name and "\0" not in name + value


def system_variables(
    function: Function,
    deployment: Deployment,
    *,
    project: str,
    endpoint: str,
    runtime: tuple[str, str],
    slug: str,
) -> dict[str, str]:
    """Return the APPWRITE_* variables of one deployment.

    `runtime` is its display name and version, `slug` the specification of the process.
    """
    size = specification(slug)
    prefix = "APPWRITE_FUNCTION_"
    return {
        f"{prefix}API_ENDPOINT": endpoint,
        f"{prefix}ID": function.id,
        f"{prefix}NAME": function.name,
        f"{prefix}DEPLOYMENT": deployment.id,
        f"{prefix}PROJECT_ID": project,
        f"{prefix}RUNTIME_NAME": runtime[0],
        f"{prefix}RUNTIME_VERSION": runtime[1],
        f"{prefix}CPUS": f"{size.cpus:g}",
        f"{prefix}MEMORY": str(size.memory_mb),
        "APPWRITE_VERSION": APPWRITE_VERSION,
        "APPWRITE_REGION": "default",
        "APPWRITE_DEPLOYMENT_TYPE": deployment.type,
        "APPWRITE_VCS_REPOSITORY_ID": function.provider_repository_id,
        "APPWRITE_VCS_REPOSITORY_NAME": deployment.provider_repository_name,
        "APPWRITE_VCS_REPOSITORY_OWNER": deployment.provider_repository_owner,
        "APPWRITE_VCS_REPOSITORY_URL": deployment.provider_repository_url,
        "APPWRITE_VCS_REPOSITORY_BRANCH": deployment.provider_branch,
        "APPWRITE_VCS_REPOSITORY_BRANCH_URL": deployment.provider_branch_url,
        "APPWRITE_VCS_COMMIT_HASH": deployment.provider_commit_hash,
        "APPWRITE_VCS_COMMIT_MESSAGE": deployment.provider_commit_message,
        "APPWRITE_VCS_COMMIT_URL": deployment.provider_commit_url,
        "APPWRITE_VCS_COMMIT_AUTHOR_NAME": deployment.provider_commit_author,
        "APPWRITE_VCS_COMMIT_AUTHOR_URL": deployment.provider_commit_author_url,
        "APPWRITE_VCS_ROOT_DIRECTORY": function.provider_root_directory,
        "OPEN_RUNTIMES_ENTRYPOINT": deployment.entrypoint,
        "OPEN_RUNTIMES_HOSTNAME": "fn",
        "OPEN_RUNTIMES_CPUS": f"{size.cpus:g}",
        "OPEN_RUNTIMES_MEMORY": str(size.memory_mb),
        "OPEN_RUNTIMES_ENV": "production",
    }
