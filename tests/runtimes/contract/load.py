"""Rows about programs that cannot be built or loaded, or that act while they are loaded."""

from tests.runtimes.contract.table import NOTICE, Answer, Broken, Load, failed

#: The answers of a program that prints while it is loaded and counts its calls: the first one logs
#: the output.
PRINTS = (
    Answer(body=b"1", logs=f"{NOTICE}\nloaded\n"),
    Answer(body=b"2"),
    Answer(body=b"3"),
)

ROWS = (
    Load(
        name="missing entry",
        program="no_export",
        entry="absent",
        outcome=failed(503, errors="Failed to load entrypoint, file {entry} does not exist.\n"),
        compiled=Broken(says=("{entry}",)),
    ),
    Load(
        name="no_export",
        outcome=failed(
            503,
            errors="Function signature invalid. Did you forget to export a 'main' function?\n",
        ),
        compiled=Broken(says=("main",)),
    ),
    Load(
        name="syntax",
        outcome=Broken(says=("{entry}", "The function's source does not parse.")),
        compiled=Broken(says=("{entry}",)),
    ),
    Load(
        name="broken_sibling",
        outcome=Broken(says=("sibling.", "The function's source does not parse.")),
        compiled=Broken(says=("sibling",)),
    ),
    Load(
        name="missing_module",
        outcome=failed(503, says=("module", "notthereatall")),
        compiled=Broken(says=("notthereatall",)),
    ),
    Load(
        name="raises",
        outcome=failed(
            503,
            says=("Failed to load module: ", "no database"),
            logs=f"{NOTICE}\nloading\n",
        ),
        compiled=failed(503, says=("no database",), logs=None),
    ),
    Load(
        name="endless",
        outcome=failed(errors="Execution timed out.\n", failure="timeout"),
        compiled=failed(errors="Execution timed out.\n", failure="timeout"),
    ),
    Load(name="prints", outcome=PRINTS, compiled=PRINTS),
    Load(
        name="prints before the first call",
        program="prints",
        prewarmed=True,
        outcome=PRINTS,
        compiled=PRINTS,
    ),
    Load(
        name="second_try",
        outcome=(failed(503, says=("not yet",)), Answer(body=b"now"), Answer(body=b"now")),
        compiled=(),
    ),
)
