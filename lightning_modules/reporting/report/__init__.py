"""`report.html`: all that is known of a run or study as one page that opens without a network.

It may import the pictures, the closing screen's words and the spread table, besides lower rooms.
"""
