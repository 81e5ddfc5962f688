"""What is durable: the journal of commands, its segments and snapshots, and recovery from them."""
