"""What happened to sessions and money, told from the ledger: for commands and for the console."""
