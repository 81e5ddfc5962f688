"""Text on one side, rows on the other: decimals, codes, refusals and answers."""
