"""Where the figures of a run are logged, besides its own directory."""
