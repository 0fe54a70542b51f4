"""Parse a function without running it.

    python -I -S check.py CODE ENTRYPOINT

It reads the entrypoint and the function's own modules that are imported unconditionally at top
level. The first that does not parse ends it with exit code 1 and the compiler's message. Packages
are not read.
"""

import ast
import os
import sys
import traceback
import warnings


class Modules:
    """The modules of a function's own files, named as the function imports them."""

    def __init__(self, code, entrypoint):
        self._folders = [os.path.dirname(os.path.join(code, entrypoint)), code]
        version = "python%d.%d" % sys.version_info[:2]
        packages = os.path.join(code, "runtime-env", "lib", version, "site-packages")
        #: Names of the standard library and of packages, which come first on the search path.
        self._taken = set(sys.builtin_module_names)
        for folder in (*sys.path, packages):
            try:
                names = os.listdir(folder)
            except OSError:  # a zip file, or not there
                continue
            self._taken.update(name.partition(".")[0] for name in names)

    def files(self, name):
        """Yield the files that run when `name` is imported, as far as they are there."""
        parts = name.split(".")
        if parts[0] in self._taken:
            return
        if parts[0] == "function":
            yield from below(self._folders[1], parts[1:])
            return
        for folder in self._folders:
            found = list(below(folder, parts))
            if found:
                yield from found
                return


def below(folder, parts):
    """Yield the files of the packages and of the module that `parts` name below `folder`."""
    for part in parts:
        folder = os.path.join(folder, part)
        for file in (os.path.join(folder, "__init__.py"), folder + ".py"):
            if os.path.isfile(file):
                yield file
                break


def imported(tree, file, modules):
    """Yield the function's own files that a module imports at once."""
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield from modules.files(alias.name)
        elif isinstance(statement, ast.ImportFrom):
            names = [alias.name for alias in statement.names]
            if statement.level:
                folder = file
                for _ in range(statement.level):
                    folder = os.path.dirname(folder)
                parts = statement.module.split(".") if statement.module else []
                for name in names:
                    yield from below(folder, [*parts, name])
            else:
                for name in names:
                    yield from modules.files(statement.module + "." + name)


def main(code, entrypoint):
    modules = Modules(code, entrypoint)
    waiting, seen = [os.path.join(code, entrypoint)], set()
    while waiting:
        file = waiting.pop(0)
        if file in seen or not file.endswith(".py"):
            continue
        seen.add(file)
        try:
            with open(file, "rb") as content:
                source = content.read()
            compile(source, file, "exec", dont_inherit=True)
            tree = ast.parse(source, file)
        except (SyntaxError, ValueError) as exc:
            sys.exit("".join(traceback.format_exception_only(type(exc), exc)).rstrip())
        except (OSError, RecursionError, MemoryError):
            # Its import says what is wrong.
            continue
        waiting += imported(tree, file, modules)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], sys.argv[2])
