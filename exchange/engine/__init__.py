"""The deterministic machine: commands in, events out. One compiled call a batch; no I/O, no clock."""
