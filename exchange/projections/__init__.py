"""What follows from commands and events, and can be thrown away and computed again."""
