"""Runs commands confined: `command` says what, `engines` how, `spawner` does it, `probe` finds out what works here."""
