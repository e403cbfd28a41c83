"""Where the metrics of a run are logged, besides its own directory: a file for each logger.

They may import the rooms below `reporting` only.
"""
