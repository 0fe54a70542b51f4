"""`python -m minifn`."""

from minifn.cli import main

main(prog_name="minifn")
