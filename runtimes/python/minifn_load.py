"""Imports the user's module.

Its errors have the words of Open Runtimes (runtimes/python/versions/latest/src/server.py).
"""

from __future__ import annotations

import os
import sys

from minifn_call import describe

NO_MAIN = "Function signature invalid. Did you forget to export a 'main' function?"
#: Folder with the package `function`, for child processes that get this search path.
IMPORTABLE = os.path.join(os.path.dirname(__file__), "importable")
#: inspect.CO_COROUTINE, without the import of inspect.
COROUTINE_FLAG = 0x80


def is_coroutine_function(function: object) -> bool:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return bool(code and code.co_flags & COROUTINE_FLAG)


class Function:
    """The user's module, imported on demand and kept."""

    def __init__(self, code: str, entrypoint: str) -> None:
        self.main = None
        self.is_coroutine = False
        #: Where the last import failed, "" unless an exception ended it.
        self.trace = ""
        self._code = code
        self._entrypoint = entrypoint
        self._path = os.path.normpath(os.path.join(code, entrypoint))

    def prepare(self) -> None:
        """Make the packages of the build and the function's files importable.

        The function's files come last, as on Open Runtimes, so that they hide no package and no
        module of the standard library. They are also the package `function`, as on Open Runtimes,
        which allows relative imports.
        """
        package = type(sys)("function")
        package.__path__ = [self._code]
        sys.modules["function"] = package
        environment = os.path.join(self._code, "runtime-env")
        packages = os.path.join(
            environment, "lib", "python%d.%d" % sys.version_info[:2], "site-packages"
        )
        if os.path.isdir(packages):
            sys.prefix = sys.exec_prefix = environment
            if os.path.exists(os.path.join(environment, "bin", "python")):
                sys.executable = os.path.join(environment, "bin", "python")
            if any(name.endswith(".pth") for name in os.listdir(packages)):
                import site

                site.addsitedir(packages)
            else:
                sys.path.append(packages)
        folder = os.path.dirname(self._path)
        sys.path += (*([folder] if folder != self._code else []), IMPORTABLE, self._code)

    def load(self) -> str:
        """Import the entry file. Returns the error, "" for none; a failed import may be retried."""
        entrypoint = self._entrypoint
        if not os.path.isfile(self._path):
            return f"Failed to load entrypoint, file {entrypoint} does not exist."
        self.trace = ""
        name = "function." + os.path.splitext(os.path.normpath(entrypoint))[0].replace("/", ".")
        try:
            __import__(name)
            main = getattr(sys.modules[name], "main", None)
        except ModuleNotFoundError as exc:
            self.trace = describe(exc)
            return f"Module not found: {exc.name}\n{self.trace}"
        except SyntaxError as exc:
            self.trace = describe(exc)
            return f"Syntax error in {exc.filename}:{exc.lineno}: {exc.msg}"
        except BaseException as exc:
            self.trace = describe(exc)
            return f"Failed to load module: {self.trace}"
        if not callable(main):
            del sys.modules[name]
            return NO_MAIN
        self.main = main
        self.is_coroutine = is_coroutine_function(main)
        if self.is_coroutine:
            # The first call would wait for it, and each fork have it in memory of its own.
            import asyncio  # noqa: F401
        return ""
