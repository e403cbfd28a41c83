"""What a tree of images means: which folders are splits, which are classes, and what is neither.

Pure: it sees names and numbers of images only, of a folder or of an archive.
"""
