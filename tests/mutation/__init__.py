"""Mutation testing of the rule tables, on demand from the repository root: `python -m tests.mutation` (`--help`)."""
