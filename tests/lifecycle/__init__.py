"""Start, end, reload, workers."""
