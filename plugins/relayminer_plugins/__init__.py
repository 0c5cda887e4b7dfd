"""First-party plugins: transports, cache types, key providers. They use only relayminer.plugin."""
