"""The JSON-RPC API: sessions, their requests, and what they are answered."""
