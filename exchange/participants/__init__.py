"""Simulated members of the hub, one file a kind. They keep the market moving; the engine does not know them."""
