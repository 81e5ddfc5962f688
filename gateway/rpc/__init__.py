"""The JSON-RPC API: sessions, requests, methods, and the reports that answer them."""
