"""Warm processes that answer for one deployment each."""
