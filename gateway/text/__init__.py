"""Between text and rows: the protocol's words, strict reading, exact numbers, refusals, answers."""
