"""Bytes in, bytes out: HTTP and websocket, and what protects the hub from either."""
