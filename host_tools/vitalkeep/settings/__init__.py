"""TOML files as dataclasses: every mistake of a file at once, each with its line."""
