"""Prepare a Python build: make the virtual environment, then run the build's command in it.

    python -I -S prepare.py <environment directory> <command> [argument ...]

It runs inside the build's sandbox with the interpreter of the function. The environment takes
milliseconds: no pip is copied, and `pip` is a stub package that continues in a pip of this machine
(the interpreter's own, the one bundled with ensurepip, the distribution's wheel, or the folder in
MINIFN_PIP).
"""

import os
import shutil
import subprocess
import sys
from glob import glob

VERSION = "%d.%d" % sys.version_info[:2]

#: Package `pip` that continues in the one below `place`, a folder or a wheel. pip runs its own
#: `__file__` again to build packages. The stub has no metadata, so that `pip install --upgrade pip`
#: replaces it by a real one.
PIP_STUB = """\
from importlib.machinery import PathFinder
_spec = PathFinder.find_spec("pip", [{place!r}])
__file__ = _spec.origin
__path__ = list(_spec.submodule_search_locations)
exec(_spec.loader.get_code("pip"))
"""

#: `#!` line that finds the interpreter beside the script, so that the code may move after the
#: build.
RELOCATABLE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""


def find_pip():
    """Return the folder or wheel of a pip for this interpreter, None without one."""
    library = os.path.join(sys.base_prefix, "lib", "python" + VERSION)
    places = [
        os.path.join(library, "site-packages"),
        os.path.join(library, "dist-packages"),
        os.path.join(sys.base_prefix, "local", "lib", "python" + VERSION, "dist-packages"),
        os.path.join(sys.base_prefix, "lib", "python3", "dist-packages"),
    ]
    for place in places:
        if os.path.isfile(os.path.join(place, "pip", "__main__.py")):
            return place
    wheels = glob(os.path.join(library, "ensurepip", "_bundled", "pip-*.whl"))
    wheels += glob("/usr/share/python-wheels/pip-*.whl")
    if wheels:
        return wheels[0]
    borrowed = os.environ.get("MINIFN_PIP")
    return os.path.dirname(borrowed) if borrowed else None


def make_environment(root):
    """Create the virtual environment `root` anew. Returns the folder of its programs."""
    if os.path.islink(root):
        os.unlink(root)
    shutil.rmtree(root, ignore_errors=True)
    programs = os.path.join(root, "bin")
    packages = os.path.join(root, "lib", "python" + VERSION, "site-packages")
    os.makedirs(programs)
    os.makedirs(packages)
    write(
        os.path.join(root, "pyvenv.cfg"),
        "home = {}\ninclude-system-site-packages = false\nversion = {}.{}.{}\n".format(
            os.path.dirname(sys.executable), *sys.version_info[:3]
        ),
    )
    os.symlink(sys.executable, os.path.join(programs, "python"))
    for name in ("python3", "python" + VERSION):
        os.symlink("python", os.path.join(programs, name))
    provide_pip(packages, programs)
    return programs


def provide_pip(packages, programs):
    """Write the stub of pip, or a warning when this machine has none."""
    pip = find_pip()
    if pip is None:
        warning = "minifn: this machine has no pip for Python {}; commands that need it will fail."
        print(warning.format(VERSION), flush=True)
        return
    stub = os.path.join(packages, "pip")
    os.mkdir(stub)
    write(os.path.join(stub, "__init__.py"), PIP_STUB.format(place=pip))
    for name in ("pip", "pip3", "pip" + VERSION):
        script = os.path.join(programs, name)
        write(script, '#!/bin/sh\nexec "$(dirname -- "$0")/python" -m pip "$@"\n')
        os.chmod(script, 0o755)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make_relocatable(programs):
    """Rewrite installed scripts with an absolute path to the environment's interpreter."""
    absolute = b"#!" + os.fsencode(programs)
    for name in os.listdir(programs):
        path = os.path.join(programs, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            line, rest = file.readline(), file.read()
        if line.startswith(absolute):
            with open(path, "wb") as file:
                file.write(RELOCATABLE + rest)


def main():
    root, command = os.path.abspath(sys.argv[1]), sys.argv[2:]
    programs = make_environment(root)
    os.environ.pop("MINIFN_PIP", None)
    status = subprocess.call(command)
    if os.path.isdir(programs):
        make_relocatable(programs)
    sys.exit(status if status >= 0 else 128 - status)


main()
