"""Every error of the API, one class per Appwrite error type.

`MinifnError` is the root. A subclass fixes the wire `type` and HTTP `code`; the first paragraph of
its docstring is the default message. Types and codes follow Appwrite's `app/config/errors.php`.
"""

from typing import ClassVar


class MinifnError(Exception):
    """Server Error"""

    type: ClassVar[str] = "general_unknown"
    code: ClassVar[int] = 500
    #: The execution that ended in the error, "" for none.
    execution_id = ""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.default_message()
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        """Return the first paragraph of the docstring as one line."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


class ArgumentInvalid(MinifnError):
    """The request contains one or more invalid arguments."""

    type = "general_argument_invalid"
    code = 400

    @classmethod
    def for_param(cls, name: str, rule: str) -> "ArgumentInvalid":
        """Return the error Appwrite words as "Invalid `name` param: rule"."""
        return cls(f"Invalid `{name}` param: {rule}")

    @classmethod
    def missing(cls, name: str) -> "ArgumentInvalid":
        """Return the error for a required parameter that was not sent."""
        return cls(f'Param "{name}" is not optional.')


class BadRequest(MinifnError):
    """There was an error processing your request. Please check the inputs and try again."""

    type = "general_bad_request"
    code = 400


class QueryInvalid(MinifnError):
    """The query's syntax is invalid. Please check the query and try again."""

    type = "general_query_invalid"
    code = 400


class CursorNotFound(MinifnError):
    """The cursor is invalid: no readable row has this id."""

    type = "general_cursor_not_found"
    code = 400


class QueryOrderNull(MinifnError):
    """The order attribute of the cursor's row is null. Cursor pagination needs rows with a
    value."""

    type = "database_query_order_null"
    code = 400


class DatabaseTimeout(MinifnError):
    """Database timed out. Try adjusting your queries: a filter is faster than a search."""

    type = "database_timeout"
    code = 408


class RouteNotFound(MinifnError):
    """The requested route was not found. Please refer to the API docs and try again."""

    type = "general_route_not_found"
    code = 404


class UnauthorizedScope(MinifnError):
    """The current user or API key does not have the required scopes to access the requested
    resource."""

    type = "general_unauthorized_scope"
    code = 401


class AccessForbidden(MinifnError):
    """Access to this API is forbidden."""

    type = "general_access_forbidden"
    code = 401


class UnknownOrigin(MinifnError):
    """The request originated from an unknown origin."""

    type = "general_unknown_origin"
    code = 403


class RateLimitExceeded(MinifnError):
    """Rate limit for the current endpoint has been exceeded. Please try again after some time."""

    type = "general_rate_limit_exceeded"
    code = 429


class RequestTooLarge(MinifnError):
    """The request's body is longer than this server accepts."""

    type = "general_request_too_large"
    code = 413


class NotImplementedByServer(MinifnError):
    """This method was not fully implemented on this server."""

    type = "general_not_implemented"
    code = 405


class Overloaded(MinifnError):
    """The server has as much work queued as it accepts. Try again later."""

    type = "general_service_overloaded"
    code = 503


class NotRunning(MinifnError):
    """minifn is not running: the app needs `lifespan=minifn.lifespan`, or `async with minifn`.

    Starlette and FastAPI run no lifespan of mounted apps.
    """

    type = "general_service_unavailable"
    code = 503


class ProjectNotFound(MinifnError):
    """Project with the requested ID could not be found. Please check the X-Appwrite-Project
    header."""

    type = "project_not_found"
    code = 404


class KeyNotFound(MinifnError):
    """Key with the requested ID could not be found."""

    type = "key_not_found"
    code = 404


class KeyAlreadyExists(MinifnError):
    """Key with the same ID already exists. Try again with a different ID."""

    type = "key_already_exists"
    code = 409


class KeyCreationDenied(MinifnError):
    """An API key makes no API keys. Use the admin key, or the operator's session."""

    type = "key_creation_denied"
    code = 403


class ProjectKeyExpired(MinifnError):
    """The project key has expired. Please generate a new key."""

    type = "project_key_expired"
    code = 401


class ApiKeyExpired(MinifnError):
    """The function's ephemeral API key is invalid or has expired."""

    type = "api_key_expired"
    code = 401


class UserUnauthorized(MinifnError):
    """The current user is not authorized to perform the requested action."""

    type = "user_unauthorized"
    code = 401


class UserJwtInvalid(MinifnError):
    """The JWT token is invalid. Please check the value of the X-Appwrite-JWT header."""

    type = "user_jwt_invalid"
    code = 401


class UserApiKeyAndSessionSet(MinifnError):
    """API key and session used in the same request. Use either a session or an API key."""

    type = "user_api_key_and_session_set"
    code = 403


class UserInvalidCredentials(MinifnError):
    """Invalid credentials. Please check the email and password."""

    type = "user_invalid_credentials"
    code = 401


class UserSessionNotFound(MinifnError):
    """The current user session could not be found."""

    type = "user_session_not_found"
    code = 404


class FunctionNotFound(MinifnError):
    """Function with the requested ID could not be found."""

    type = "function_not_found"
    code = 404


class FunctionAlreadyExists(MinifnError):
    """Function with the requested ID already exists. Try again with a different ID or use
    ID.unique()."""

    type = "function_already_exists"
    code = 409


class FunctionEntrypointMissing(MinifnError):
    """Entrypoint for your function is missing. Set it on the function or send it with the
    deployment."""

    type = "function_entrypoint_missing"
    code = 404


class FunctionSynchronousTimeout(MinifnError):
    """Synchronous function execution timed out. Execute it asynchronously, or answer sooner."""

    type = "function_synchronous_timeout"
    code = 408


class FunctionTemplateNotFound(MinifnError):
    """Function Template with the requested ID could not be found."""

    type = "function_template_not_found"
    code = 404


class FunctionExecutePermissionMissing(MinifnError):
    """To execute this function by its domain, give it `any` or `guests` in its execute access."""

    type = "function_execute_permission_missing"
    code = 401


class DeploymentNotFound(MinifnError):
    """Deployment with the requested ID could not be found."""

    type = "deployment_not_found"
    code = 404


class DeploymentInvalidFileSize(MinifnError):
    """The deployment file size is either not valid or exceeds the maximum allowed size."""

    type = "deployment_invalid_file_size"
    code = 400


class BuildNotReady(MinifnError):
    """Build with the requested ID is building and not ready for execution."""

    type = "build_not_ready"
    code = 400


class BuildAlreadyCompleted(MinifnError):
    """Build with the requested ID is already completed and cannot be canceled."""

    type = "build_already_completed"
    code = 400


class StorageFileEmpty(MinifnError):
    """Empty file passed to the endpoint: no multipart file part named `code` was sent."""

    type = "storage_file_empty"
    code = 400


class StorageFileTypeUnsupported(MinifnError):
    """The given file extension is not supported: deployments are .tar.gz or .zip archives."""

    type = "storage_file_type_unsupported"
    code = 400


class StorageInvalidContentRange(MinifnError):
    """The content range is invalid. Please check the value of the Content-Range header."""

    type = "storage_invalid_content_range"
    code = 400


class StorageInvalidFileSize(MinifnError):
    """The file size is either not valid or exceeds the maximum allowed size."""

    type = "storage_invalid_file_size"
    code = 400


class StorageInvalidRange(MinifnError):
    """The requested range is not satisfiable. Please check the value of the Range header."""

    type = "storage_invalid_range"
    code = 416


class ExecutionNotFound(MinifnError):
    """Execution with the requested ID could not be found."""

    type = "execution_not_found"
    code = 404


class ExecutionInProgress(MinifnError):
    """Can't delete ongoing execution. Please wait for it to finish before deleting it."""

    type = "execution_in_progress"
    code = 400


class VariableNotFound(MinifnError):
    """Variable with the requested ID could not be found."""

    type = "variable_not_found"
    code = 404


class VariableAlreadyExists(MinifnError):
    """Variable with the same ID or key already exists in this function."""

    type = "variable_already_exists"
    code = 409


class VariableCannotUnsetSecret(MinifnError):
    """Secret variables cannot be marked as non-secret. Delete and recreate the variable instead."""

    type = "variable_cannot_unset_secret"
    code = 400


class InstallationNotFound(MinifnError):
    """Installation with the requested ID could not be found."""

    type = "installation_not_found"
    code = 404


class ProviderRepositoryNotFound(MinifnError):
    """VCS (Version Control System) repository with the requested ID could not be found."""

    type = "provider_repository_not_found"
    code = 404


class RuleNotFound(MinifnError):
    """Rule with the requested ID could not be found."""

    type = "rule_not_found"
    code = 404


class RuleResourceNotFound(MinifnError):
    """Resource could not be found. Please check that the function the rule points to exists."""

    type = "rule_resource_not_found"
    code = 404


class RuleAlreadyExists(MinifnError):
    """Domain is already used. Please use a different domain."""

    type = "rule_already_exists"
    code = 409
