"""The tables of the daemon's file, one noun each."""
