"""The binary endpoint: COMMAND rows in, EVENT rows out."""
