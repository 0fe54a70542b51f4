"""Install a project with a pyproject.toml and no requirements.txt, by the tool of its files.

    python project.py

It runs in the code's folder, with the interpreter of the build's environment, which VIRTUAL_ENV
names. uv installs a uv.lock, Poetry a Poetry project, and pip every other project (PEP 621,
PEP 517). Without a build system only the dependencies are installed, as with uv.
"""

import os
import shlex
import shutil
import subprocess
import sys


def read_project():
    """Return pyproject.toml. Exits with a message when it cannot be read."""
    try:
        import tomllib
    except ImportError:  # before Python 3.11
        from pip._vendor import tomli as tomllib
    try:
        with open("pyproject.toml", "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as exc:
        sys.exit("pyproject.toml cannot be read: {}".format(exc))


def run(*command, **variables):
    """Run a command, and exit with its status when it fails."""
    print("+ " + " ".join(map(shlex.quote, command)), flush=True)
    status = subprocess.call(command, env={**os.environ, **variables})
    if status:
        sys.exit(status if status > 0 else 128 - status)


def tool(name, *plugins):
    """Return the program `name` and its variables. Installs a missing one beside the build."""
    found = shutil.which(name)
    if found:
        return found, {}
    folder = os.path.join(os.environ["TMPDIR"], "tool-" + name)
    run("pip", "install", "--quiet", "--target", folder, name, *plugins)
    return os.path.join(folder, "bin", name), {"PYTHONPATH": folder}


def install_with_uv():
    program, variables = tool("uv")
    options = ("--frozen", "--no-dev", "--inexact", "--no-editable", "--link-mode", "copy")
    run(
        *(program, "sync", *options, "--python", sys.executable),
        UV_PROJECT_ENVIRONMENT=os.environ["VIRTUAL_ENV"],
        UV_PYTHON_DOWNLOADS="never",
        **variables,
    )


def install_with_poetry(project):
    settings = project.get("tool", {}).get("poetry", {})
    name = settings.get("name") or project.get("project", {}).get("name") or ""
    package = name.lower().replace("-", "_").replace(".", "_")
    found = any(os.path.isdir(os.path.join(place, package)) for place in (".", "src"))
    is_package = settings.get("package-mode", True) and ("packages" in settings or (name and found))
    # Poetry asks PyPI, whichever index pip has; the plugin sends it to that index.
    index = os.environ.get("PIP_INDEX_URL", "")
    program, variables = tool("poetry", *(("poetry-plugin-pypi-mirror",) if index else ()))
    if index:
        variables["POETRY_PYPI_MIRROR_URL"] = index
    run(
        *(program, "install", "--only", "main", "--no-interaction"),
        *(() if is_package else ("--no-root",)),
        POETRY_VIRTUALENVS_CREATE="false",
        **variables,
    )


def install_with_pip(project):
    table = project["project"]
    dependencies = table.get("dependencies", [])
    if "build-system" in project or "dependencies" in table.get("dynamic", []):
        run("pip", "install", ".")
    elif dependencies:
        run("pip", "install", *dependencies)
    else:
        print("The project has no dependencies.", flush=True)


def main():
    project = read_project()
    if os.path.exists("uv.lock"):
        install_with_uv()
    elif os.path.exists("poetry.lock") or "poetry" in project.get("tool", {}):
        install_with_poetry(project)
    else:
        install_with_pip(project)


if __name__ == "__main__":
    main()
