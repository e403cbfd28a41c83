"""`report.html`: all that is known of a run or study as one page."""
