"""The kinds of rows, one file a family; `registry` imports every file in this folder."""
