"""Simulated members of the hub, one file a kind. They keep the market moving; the machine knows nothing of them."""
