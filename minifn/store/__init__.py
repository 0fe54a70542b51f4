"""The database: one SQLite file, plain functions over a connection, frozen records in and out."""
