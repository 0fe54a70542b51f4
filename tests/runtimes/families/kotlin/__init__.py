"""Kotlin in the contract: as Java, by the same wrapper."""

from dataclasses import replace

from tests.runtimes.contract.table import Family
from tests.runtimes.families.java import FAMILY as JAVA

FAMILY: Family = replace(
    JAVA,
    key="kotlin",
    entry="Main.kt",
    differs={
        **JAVA.differs,
        "raises": replace(
            JAVA.differs["raises"],
            because="the companion object is made when the class is loaded, in the worker",
        ),
    },
    cannot={**JAVA.cannot, "missing return": "the compiler refuses null"},
)
