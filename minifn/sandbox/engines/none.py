"""The engine `none`: no isolation."""

from minifn.sandbox.command import PRIVATE_TMP, Bind, Command, Wrapped

from . import refuse_less_network


class NoEngine:
    """No isolation at all: for development on a machine with nothing to lose."""

    name = "none"
    tmp = PRIVATE_TMP
    namespaces = False
    strength = "no isolation: functions can do whatever the server can"

    def place(self, bind: Bind) -> str:
        """Return the bind's path on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the command as it is. Raises EngineUnavailable for a command with less network."""
        refuse_less_network(self.name, command)
        return Wrapped(
            argv=command.argv,
            env=dict(command.env),
            cwd=command.cwd,
            limits=command.limits,
            label=command.label,
            private_tmp=True,
        )
