"""Public market data: the channels, and how an instrument is described."""
