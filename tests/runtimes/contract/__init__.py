"""The contract of handlers as one table of cases, and the harness that plays it.

`table` has the kinds of rows, the other modules the rows by topic, `site` builds a family's
programs by the real builder and calls them. ../families/README.md lists the programs of a family.
"""
