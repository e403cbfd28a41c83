"""Where the metrics of a run are logged, besides its own directory."""
