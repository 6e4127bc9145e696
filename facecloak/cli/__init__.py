"""The command line, with one file per command. Nothing outside of it prints."""
