"""Runs commands confined.

`command` describes a command, `engines/` confine it, `spawner` starts and ends it, `choose` finds
the engine that works here.
"""
