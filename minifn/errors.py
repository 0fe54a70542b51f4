"""Every error of the API, one class per Appwrite error type.

`MinifnError` is the root. A subclass names its `type` in answers and its HTTP status `code`; the
first paragraph of its docstring is the default message. Types and codes follow Appwrite's
`app/config/errors.php`.
"""

from typing import ClassVar


class MinifnError(Exception):
    """Server Error"""

    type: ClassVar[str] = "general_unknown"
    code: ClassVar[int] = 500
    #: The execution that ended in the error, "" for none.
    execution_id = ""

    def __init_subclass__(cls, *, type: str = "", code: int = 0) -> None:
        """Set `type` and `code`; without them a subclass has those of its base."""
        cls.type = type or cls.type
        cls.code = code or cls.code

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.default_message()
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        """Return the first paragraph of the docstring as one line."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


class ArgumentInvalid(MinifnError, type="general_argument_invalid", code=400):
    """The request contains one or more invalid arguments."""

    @classmethod
    def for_param(cls, name: str, rule: str) -> "ArgumentInvalid":
        """Return the error Appwrite words as "Invalid `name` param: rule"."""
        return cls(f"Invalid `{name}` param: {rule}")

    @classmethod
    def missing(cls, name: str) -> "ArgumentInvalid":
        """Return the error for a required parameter that was not sent."""
        return cls(f'Param "{name}" is not optional.')


class BadRequest(MinifnError, type="general_bad_request", code=400):
    """There was an error processing your request. Please check the inputs and try again."""


class QueryInvalid(MinifnError, type="general_query_invalid", code=400):
    """The query's syntax is invalid. Please check the query and try again."""


class CursorNotFound(MinifnError, type="general_cursor_not_found", code=400):
    """The cursor is invalid: no readable row has this id."""


class QueryOrderNull(MinifnError, type="database_query_order_null", code=400):
    """The order attribute of the cursor's row is null. Cursor pagination needs rows with a
    value."""


class DatabaseTimeout(MinifnError, type="database_timeout", code=408):
    """Database timed out. Try adjusting your queries: a filter is faster than a search."""


class RouteNotFound(MinifnError, type="general_route_not_found", code=404):
    """The requested route was not found. Please refer to the API docs and try again."""


class UnauthorizedScope(MinifnError, type="general_unauthorized_scope", code=401):
    """The current user or API key does not have the required scopes to access the requested
    resource."""


class AccessForbidden(MinifnError, type="general_access_forbidden", code=401):
    """Access to this API is forbidden."""


class UnknownOrigin(MinifnError, type="general_unknown_origin", code=403):
    """The request originated from an unknown origin."""


class RateLimitExceeded(MinifnError, type="general_rate_limit_exceeded", code=429):
    """Rate limit for the current endpoint has been exceeded. Please try again after some time."""


class RequestTooLarge(MinifnError, type="general_request_too_large", code=413):
    """The request's body is longer than this server accepts."""


class NotImplementedByServer(MinifnError, type="general_not_implemented", code=405):
    """This method was not fully implemented on this server."""


class Overloaded(MinifnError, type="general_service_overloaded", code=503):
    """The server has as much work queued as it accepts. Try again later."""


class StorageUnavailable(MinifnError, type="general_storage_unavailable", code=503):
    """The server cannot write at the moment: its disk may be full. Try again later."""


class NotRunning(MinifnError, type="general_service_unavailable", code=503):
    """minifn is not running: the app needs `lifespan=minifn.lifespan`, or `async with minifn`.

    Starlette and FastAPI run no lifespan of mounted apps.
    """


class ProjectNotFound(MinifnError, type="project_not_found", code=404):
    """Project with the requested ID could not be found. Please check the X-Appwrite-Project
    header."""


class KeyNotFound(MinifnError, type="key_not_found", code=404):
    """Key with the requested ID could not be found."""


class KeyAlreadyExists(MinifnError, type="key_already_exists", code=409):
    """Key with the same ID already exists. Try again with a different ID."""


class KeyCreationDenied(MinifnError, type="key_creation_denied", code=403):
    """An API key makes no API keys. Use the admin key, or the operator's session."""


class ProjectKeyExpired(MinifnError, type="project_key_expired", code=401):
    """The project key has expired. Please generate a new key."""


class ApiKeyExpired(MinifnError, type="api_key_expired", code=401):
    """The function's ephemeral API key is invalid or has expired."""


class UserUnauthorized(MinifnError, type="user_unauthorized", code=401):
    """The current user is not authorized to perform the requested action."""


class UserJwtInvalid(MinifnError, type="user_jwt_invalid", code=401):
    """The JWT token is invalid. Please check the value of the X-Appwrite-JWT header."""


class UserApiKeyAndSessionSet(MinifnError, type="user_api_key_and_session_set", code=403):
    """API key and session used in the same request. Use either a session or an API key."""


class UserInvalidCredentials(MinifnError, type="user_invalid_credentials", code=401):
    """Invalid credentials. Please check the email and password."""


class UserSessionNotFound(MinifnError, type="user_session_not_found", code=404):
    """The current user session could not be found."""


class FunctionNotFound(MinifnError, type="function_not_found", code=404):
    """Function with the requested ID could not be found."""


class FunctionAlreadyExists(MinifnError, type="function_already_exists", code=409):
    """Function with the requested ID already exists. Try again with a different ID or use
    ID.unique()."""


class FunctionEntrypointMissing(MinifnError, type="function_entrypoint_missing", code=404):
    """Entrypoint for your function is missing. Set it on the function or send it with the
    deployment."""


class FunctionSynchronousTimeout(MinifnError, type="function_synchronous_timeout", code=408):
    """Synchronous function execution timed out. Execute it asynchronously, or answer sooner."""


class FunctionTemplateNotFound(MinifnError, type="function_template_not_found", code=404):
    """Function Template with the requested ID could not be found."""


class FunctionExecutePermissionMissing(
    MinifnError, type="function_execute_permission_missing", code=401
):
    """To execute this function by its domain, give it `any` or `guests` in its execute access."""


class DeploymentNotFound(MinifnError, type="deployment_not_found", code=404):
    """Deployment with the requested ID could not be found."""


class DeploymentInvalidFileSize(MinifnError, type="deployment_invalid_file_size", code=400):
    """The deployment file size is either not valid or exceeds the maximum allowed size."""


class BuildNotReady(MinifnError, type="build_not_ready", code=400):
    """Build with the requested ID is building and not ready for execution."""


class BuildAlreadyCompleted(MinifnError, type="build_already_completed", code=400):
    """Build with the requested ID is already completed and cannot be canceled."""


class StorageFileEmpty(MinifnError, type="storage_file_empty", code=400):
    """Empty file passed to the endpoint: no multipart file part named `code` was sent."""


class StorageFileTypeUnsupported(MinifnError, type="storage_file_type_unsupported", code=400):
    """The given file extension is not supported: deployments are .tar.gz or .zip archives."""


class StorageInvalidContentRange(MinifnError, type="storage_invalid_content_range", code=400):
    """The content range is invalid. Please check the value of the Content-Range header."""


class StorageInvalidFileSize(MinifnError, type="storage_invalid_file_size", code=400):
    """The file size is either not valid or exceeds the maximum allowed size."""


class StorageInvalidRange(MinifnError, type="storage_invalid_range", code=416):
    """The requested range is not satisfiable. Please check the value of the Range header."""


class ExecutionNotFound(MinifnError, type="execution_not_found", code=404):
    """Execution with the requested ID could not be found."""


class ExecutionInProgress(MinifnError, type="execution_in_progress", code=400):
    """Can't delete ongoing execution. Please wait for it to finish before deleting it."""


class VariableNotFound(MinifnError, type="variable_not_found", code=404):
    """Variable with the requested ID could not be found."""


class VariableAlreadyExists(MinifnError, type="variable_already_exists", code=409):
    """Variable with the same ID or key already exists in this function."""


class VariableCannotUnsetSecret(MinifnError, type="variable_cannot_unset_secret", code=400):
    """Secret variables cannot be marked as non-secret. Delete and recreate the variable instead."""


class InstallationNotFound(MinifnError, type="installation_not_found", code=404):
    """Installation with the requested ID could not be found."""


class ProviderRepositoryNotFound(MinifnError, type="provider_repository_not_found", code=404):
    """VCS (Version Control System) repository with the requested ID could not be found."""


class RuleNotFound(MinifnError, type="rule_not_found", code=404):
    """Rule with the requested ID could not be found."""


class RuleResourceNotFound(MinifnError, type="rule_resource_not_found", code=404):
    """Resource could not be found. Please check that the function the rule points to exists."""


class RuleAlreadyExists(MinifnError, type="rule_already_exists", code=409):
    """Domain is already used. Please use a different domain."""
