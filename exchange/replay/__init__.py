"""Recorded order flow applied to an Exchange, and its result compared with what the venue published."""
