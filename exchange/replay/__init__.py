"""Recorded order flow put through the machine, and what came of it beside what the venue published."""
