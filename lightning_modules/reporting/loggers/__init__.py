"""Where the metrics of a run are logged, besides its own directory.

Any class that derives from Lightning's `Logger` can be one; those of this room give their libraries
more than metrics. They may import the rooms below `reporting` only.
"""
