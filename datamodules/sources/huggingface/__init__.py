"""Data sets as Hugging Face's `datasets` keeps them: Parquet, `save_to_disk`, WebDataset tars.

Only local files are read, by pyarrow and tarfile: nothing comes from a network, and nothing that
could hold code (pickle, scripts) is opened.
"""
