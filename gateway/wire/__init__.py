"""Bytes in and out: HTTP and websockets, and the guard that protects the hub from them."""
