"""Everything asynchronous or textual: HTTP and websockets, sessions, public channels, keys, the command line."""
