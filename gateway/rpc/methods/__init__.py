"""The methods of the API, one table."""
