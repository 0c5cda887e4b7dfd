"""Where supplier keys come from, and how they are kept out of sight."""
