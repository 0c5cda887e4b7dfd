"""The chaos run: real processes under load, hurt by a seed, counted to the relay."""
