"""Public market data: the channels, and the description of instruments."""
