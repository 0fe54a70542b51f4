"""Everything that is kept: one SQLite file, plain functions over a connection, frozen records in and out."""
