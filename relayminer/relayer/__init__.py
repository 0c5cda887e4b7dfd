"""The relayer: admit, meter, forward, sign, publish."""
