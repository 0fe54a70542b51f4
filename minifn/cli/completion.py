"""`minifn completion`: the completion of a shell, also of the ids that a server has."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell.

    It completes commands, options, functions and deployments. For bash: source <(minifn completion
    bash), in ~/.bashrc. For zsh the same, in ~/.zshrc. For fish: minifn completion fish >
    ~/.config/fish/completions/minifn.fish
    """
    complete = get_completion_class(shell)
    assert complete is not None, shell
    click.echo(complete(ctx.find_root().command, {}, "minifn", "_MINIFN_COMPLETE").source())
