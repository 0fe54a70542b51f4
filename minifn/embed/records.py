"""The results of `Minifn.deploy`: what runs, and the error of a build that failed."""

import msgspec

from minifn.errors import MinifnError
from minifn.models import Deployment, Function

#: Lines of a failed build's log that its error shows.
LOG_LINES = 12


class DeployedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function and its new deployment, whose build is ready."""

    function: Function
    deployment: Deployment
    #: The function's own address.
    url: str

    @property
    def id(self) -> str:
        """The function's id."""
        return self.function.id


class BuildFailed(MinifnError):
    """The build failed.

    `deployment` has the whole log, the message its last lines.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        lines = deployment.build_logs.rstrip().splitlines()[-LOG_LINES:]
        verb = "was canceled" if deployment.status == "canceled" else "failed"
        super().__init__("\n".join([f"The build of {deployment.function_id} {verb}:", *lines]))
