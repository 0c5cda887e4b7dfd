"""`relayminer redis`: looking into the shared state, and repairing it."""
