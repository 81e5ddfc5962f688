"""Everything asynchronous or textual: wire messages, sessions, feeds, keys, the application, the command line."""
